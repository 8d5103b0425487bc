//! Job: reads a request's head and decides on the answer.
//! Not here: the grammar (`httparse`), the answer's bytes (`reply`).

use std::mem::MaybeUninit;
use std::time::Duration;

use httparse::{Error, Header, Request, Status};

use super::reply::{Page, Persist, Reply};
use super::{BODY_LIMIT, SLOW_LIMIT};

/// The most headers of one request.
const MAX_HEADERS: usize = 64;

/// A complete head.
#[derive(Debug)]
pub(super) struct Head {
    /// Its length.
    pub(super) bytes: usize,
    /// The length of the body that follows.
    pub(super) body: u64,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    pub(super) reply: Reply,
}

/// What the input begins with.
#[derive(Debug)]
pub(super) enum Parsed {
    Head(Head),
    /// Nothing, or the beginning of a head.
    Partial,
    /// Something after which nothing can be understood.
    Refused(Page),
}

pub(super) fn parse(input: &[u8]) -> Parsed {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = Request::new(&mut []);
    let bytes = match request.parse_with_uninit_headers(input, &mut headers) {
        Ok(Status::Complete(bytes)) => bytes,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(Error::TooManyHeaders) => return Parsed::Refused(Page::HeadTooLarge),
        Err(_) => return Parsed::Refused(Page::BadRequest),
    };
    let old = request.version == Some(0);
    match Fields::of(request.headers, old) {
        Err(page) => Parsed::Refused(page),
        Ok(fields) => {
            let mut reply = route(&request);
            reply.persist = match (fields.close, fields.keep_alive, old) {
                (true, _, _) | (false, false, true) => Persist::Close,
                (false, true, true) => Persist::KeepAlive,
                (false, _, false) => Persist::Implied,
            };
            let (body, expects_continue) = (fields.length.unwrap_or(0), fields.expects_continue);
            Parsed::Head(Head { bytes, body, expects_continue, reply })
        }
    }
}

/// What the headers say that matters here.
#[derive(Default)]
struct Fields {
    host: bool,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Fields {
    fn of(headers: &[Header], old: bool) -> Result<Fields, Page> {
        let mut fields = Fields::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // Most headers are told apart by their length alone.
            match header.name.len() {
                4 if is("host") => fields.host = true,
                6 if is("expect") => {
                    fields.expects_continue = header.value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if is("connection") => fields.connection(header.value),
                14 if is("content-length") => fields.length(header.value)?,
                17 if is("transfer-encoding") => fields.chunked = true,
                _ => {}
            }
        }
        match &fields {
            // Two lengths that may differ: how requests are smuggled past a proxy.
            Fields { chunked: true, length: Some(_), .. } => Err(Page::BadRequest),
            Fields { chunked: true, .. } => Err(Page::LengthRequired),
            Fields { host: false, .. } if !old => Err(Page::BadRequest),
            Fields { length: Some(length), .. } if *length > BODY_LIMIT => Err(Page::BodyTooLarge),
            _ => Ok(fields),
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Digits only (`parse` alone would take a sign), and the same each time.
    fn length(&mut self, value: &[u8]) -> Result<(), Page> {
        let digits = str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
        let length = digits.and_then(|text| text.parse().ok()).ok_or(Page::BadRequest)?;
        if self.length.replace(length).is_some_and(|before| before != length) {
            return Err(Page::BadRequest);
        }
        Ok(())
    }
}

fn route(request: &Request) -> Reply {
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pause = None;
    let mut page = match path {
        "/plaintext" => Page::Plaintext,
        "/json" => Page::Json,
        "/slow" => {
            pause = milliseconds(query);
            if pause.is_some() { Page::Slow } else { Page::BadRequest }
        }
        _ => Page::NotFound,
    };
    let head_only = request.method == Some("HEAD");
    if page != Page::NotFound && !head_only && request.method != Some("GET") {
        (page, pause) = (Page::MethodNotAllowed, None);
    }
    Reply { page, head_only, persist: Persist::Implied, pause }
}

/// The value of `ms` in a query.
fn milliseconds(query: &str) -> Option<Duration> {
    let value = query.split('&').find_map(|part| part.strip_prefix("ms="))?;
    let ms = value.parse().ok().filter(|ms| *ms <= SLOW_LIMIT)?;
    Some(Duration::from_millis(ms))
}
