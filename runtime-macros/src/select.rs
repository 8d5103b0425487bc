//! Job: `select!`: parse the arms, and build the choice between them.
//! Not here: the documentation of the arms, at the macro (`select_macro.rs` of `gusty`).
//! Invariants
//!   SL1  Handles are evaluated once, in order, before the timeout; the value of a send when it was
//!        chosen. Handles are only borrowed, so a place (`self.rx`) is not moved from, and not any
//!        more when a body runs.
//!   SL2  Bodies are in no closure and no loop of the expansion: `return`, `break` and `?` act on the
//!        code around.
//!   SL3  Names that the expansion makes up are `mixed_site`: user code can neither see nor shadow
//!        them.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{
    Error, Expr, LitBool, Pat, Result, Token, parenthesized,
    parse::{Parse, ParseStream, Parser},
    token,
};

/// The parsed input of `select!`.
struct Select {
    /// The path of `gusty`.
    krate: TokenTree,
    biased: LitBool,
    operations: Vec<Operation>,
    default: Option<Default>,
}

struct Operation {
    kind: Kind,
    handle: Expr,
    /// What the result is bound to.
    pattern: TokenStream,
    body: Expr,
}

enum Kind {
    Recv,
    /// With its value.
    Send(Expr),
}

struct Default {
    timeout: Option<Expr>,
    body: Expr,
}

/// What `select!` expands to: an expression of the type of the bodies, which are in it as they are
/// (SL2).
pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    Ok(Parser::parse2(parse, input)?.build())
}

fn parse(input: ParseStream) -> Result<Select> {
    let krate = input.parse()?;
    input.parse::<Token![,]>()?;
    let biased = input.parse()?;
    input.parse::<Token![,]>()?;
    if input.is_empty() {
        let message = "empty `select!`: give it `recv`, `send` or `default` arms";
        return Err(Error::new(Span::call_site(), message));
    }
    let mut select = Select { krate, biased, operations: Vec::new(), default: None };
    while !input.is_empty() {
        parse_arm(input, &mut select)?;
    }
    Ok(select)
}

fn parse_arm(input: ParseStream, select: &mut Select) -> Result<()> {
    const KINDS: &str = "expected an arm: `recv(receiver) -> pattern => body`, \
                         `send(sender, value) -> pattern => body` or `default => body`";
    let kind: Ident = input.parse().map_err(|error| Error::new(error.span(), KINDS))?;
    match kind.to_string().as_str() {
        "default" => {
            if select.default.is_some() {
                return Err(Error::new(kind.span(), "a `select!` has one `default` arm at most"));
            }
            let timeout = parse_timeout(input)?;
            if input.peek(Token![->]) {
                return Err(input.error("`default` has no result: write `default => body`"));
            }
            select.default = Some(Default { timeout, body: parse_body(input)? });
        }
        "recv" => {
            let arguments = arguments(input, &kind, "`recv(receiver)`")?;
            let [handle] = <[Expr; 1]>::try_from(arguments)
                .map_err(|_| Error::new(kind.span(), "`recv` takes one receiver"))?;
            let (pattern, body) = (parse_pattern(input)?, parse_body(input)?);
            select.operations.push(Operation { kind: Kind::Recv, handle, pattern, body });
        }
        "send" => {
            let arguments = arguments(input, &kind, "`send(sender, value)`")?;
            let [handle, value] = <[Expr; 2]>::try_from(arguments)
                .map_err(|_| Error::new(kind.span(), "`send` takes a sender and a value"))?;
            let (pattern, body) = (parse_pattern(input)?, parse_body(input)?);
            select.operations.push(Operation { kind: Kind::Send(value), handle, pattern, body });
        }
        _ => return Err(Error::new(kind.span(), KINDS)),
    }
    Ok(())
}

/// The expressions in the parentheses after `recv` or `send`.
fn arguments(input: ParseStream, kind: &Ident, form: &str) -> Result<Vec<Expr>> {
    if !input.peek(token::Paren) {
        return Err(Error::new(kind.span(), format!("expected {form}")));
    }
    let content;
    parenthesized!(content in input);
    Ok(content.parse_terminated(Expr::parse, Token![,])?.into_iter().collect())
}

fn parse_timeout(input: ParseStream) -> Result<Option<Expr>> {
    if !input.peek(token::Paren) {
        return Ok(None);
    }
    let content;
    parenthesized!(content in input);
    if content.is_empty() {
        return Ok(None);
    }
    let timeout = content.parse()?;
    if !content.is_empty() {
        content.parse::<Token![,]>()?;
    }
    if !content.is_empty() {
        return Err(content.error("`default` takes one timeout"));
    }
    Ok(Some(timeout))
}

/// `-> pattern`; without it the result is dropped.
fn parse_pattern(input: ParseStream) -> Result<TokenStream> {
    if !input.peek(Token![->]) {
        return Ok(quote!(_));
    }
    input.parse::<Token![->]>()?;
    if input.peek(Token![=>]) {
        return Err(input.error("missing pattern after `->`"));
    }
    let pattern = Pat::parse_multi_with_leading_vert(input)?;
    // A `let` wants parentheses around alternatives.
    Ok(if matches!(pattern, Pat::Or(_)) { quote!((#pattern)) } else { quote!(#pattern) })
}

/// `=> body`, and the comma after it, which a block need not have.
fn parse_body(input: ParseStream) -> Result<Expr> {
    if !input.peek(Token![=>]) {
        return Err(input.error("expected `=>` and the arm's body"));
    }
    input.parse::<Token![=>]>()?;
    let body = Expr::parse_with_earlier_boundary_rule(input)?;
    let ends_itself = matches!(
        body,
        Expr::Block(_)
            | Expr::Unsafe(_)
            | Expr::If(_)
            | Expr::Match(_)
            | Expr::Loop(_)
            | Expr::While(_)
            | Expr::ForLoop(_)
    );
    if !input.is_empty() && !ends_itself && !input.peek(Token![,]) {
        return Err(input.error("expected `,` after the arm's body"));
    }
    while input.peek(Token![,]) {
        input.parse::<Token![,]>()?;
    }
    Ok(body)
}

/// A name that only the expansion can see (SL3).
fn made_up(name: &str, index: usize) -> Ident {
    format_ident!("{name}_{index}", span = Span::mixed_site())
}

impl Select {
    fn build(&self) -> TokenStream {
        let mut all = match self.operations.as_slice() {
            [only] if matches!(only.kind, Kind::Recv) => self.receive(only),
            _ => self.choice(),
        };
        // Nested, so that temporaries live until the end of the `select!` (SL1).
        for (i, operation) in self.operations.iter().enumerate().rev() {
            let Operation { kind, handle, .. } = operation;
            let (krate, borrowed, name) = (&self.krate, made_up("borrowed", i), handle_name(i));
            let type_name = match kind {
                Kind::Recv => quote!(Receiver),
                Kind::Send(_) => quote!(Sender),
            };
            all = quote! {
                match (#handle) {
                    ref #borrowed => {
                        let #name: &#krate::chan::#type_name<_> = #borrowed;
                        #all
                    }
                }
            };
        }
        all
    }

    /// The only operation is a receive: there is nothing to choose.
    fn receive(&self, operation: &Operation) -> TokenStream {
        let Operation { pattern, body, .. } = operation;
        let (krate, receiver) = (&self.krate, handle_name(0));
        let result = Ident::new("result", Span::mixed_site());
        let finish = quote! {
            let #result = ::core::result::Result::map_err(#result, |_| #krate::chan::RecvError);
            let #pattern = #result;
            #body
        };
        match &self.default {
            None => quote!({
                let #result = #receiver.recv();
                #finish
            }),
            Some(Default { timeout: None, body }) => quote! {
                match #receiver.try_recv() {
                    ::core::result::Result::Err(#krate::chan::TryRecvError::Empty) => #body,
                    #result => { #finish }
                }
            },
            Some(Default { timeout: Some(timeout), body }) => quote! {
                match #receiver.recv_timeout(#timeout) {
                    ::core::result::Result::Err(#krate::chan::RecvTimeoutError::Timeout) => #body,
                    #result => { #finish }
                }
            },
        }
    }

    fn choice(&self) -> TokenStream {
        let Select { krate, biased, .. } = self;
        let expand = quote!(#krate::chan::expand);
        let (mut slots, mut cases, mut arms) = (TokenStream::new(), Vec::new(), Vec::new());
        let [all, chosen, result] =
            ["cases", "chosen", "result"].map(|name| Ident::new(name, Span::mixed_site()));
        for (i, Operation { kind, pattern, body, .. }) in self.operations.iter().enumerate() {
            let (handle, slot) = (handle_name(i), made_up("slot", i));
            let complete = match kind {
                Kind::Recv => {
                    slots.extend(quote!(let mut #slot = #expand::Slot::new(#handle);));
                    cases.push(quote!(#expand::recv(#handle, &mut #slot)));
                    quote!(#chosen.recv(&mut #slot))
                }
                Kind::Send(value) => {
                    cases.push(quote!(#expand::send(#handle)));
                    quote!(#chosen.send(#handle, #value))
                }
            };
            arms.push(quote! {
                #i => {
                    let #result = #complete;
                    let #pattern = #result;
                    #body
                }
            });
        }
        let run = match &self.default {
            None => quote!(#expand::select(&mut #all, #biased)),
            Some(Default { timeout: None, .. }) => quote!(#expand::try_select(&mut #all, #biased)),
            Some(Default { timeout: Some(timeout), .. }) => {
                quote!(#expand::select_timeout(&mut #all, #biased, #timeout))
            }
        };
        let otherwise = match &self.default {
            None => quote!(::core::unreachable!("a select without default chooses an operation")),
            Some(Default { body, .. }) => body.into_token_stream(),
        };
        quote!({
            #slots
            let mut #all = [#(#cases),*];
            let #chosen = #run;
            match #chosen.index() {
                #(#arms)*
                _ => {
                    ::core::mem::drop(#chosen);
                    #otherwise
                }
            }
        })
    }
}

/// The name of the `i`th handle.
fn handle_name(i: usize) -> Ident {
    made_up("handle", i)
}

#[cfg(test)]
mod tests;
