//! Job: `go!`: tell its forms apart and build the call of `gusty::spawn`.
//! Not here: the documentation of the forms, at the macro (`lib.rs`).
//! Invariants
//!   GO1  Everything but the outermost call is evaluated in the caller, once, from left to right.
//!   GO2  Names that the expansion makes up are `mixed_site`: user code can neither see nor shadow
//!        them. Paths into `gusty` are `call_site`, so `Location::caller()` is the invocation.
//!   GO3  The closure's tokens lie at the user's own, so "not Send" and "does not live long enough"
//!        are reported there.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Error, Expr, ExprCall, ExprMethodCall, Result, Token,
    parse::{ParseStream, Parser},
    punctuated::Punctuated,
    spanned::Spanned,
};

use crate::options::{CRATE, Opt, OptValue, at_option, gusty, parse_option};

const OPTIONS: &[&str] = &["name", "stack", CRATE];

/// The parsed input of `go!`.
struct Go {
    /// `unsafe light`, at the user's `unsafe`.
    light: Option<Token![unsafe]>,
    pinned: bool,
    options: Vec<Opt>,
    what: Expr,
}

/// What `go!` expands to: an expression of type `JoinHandle`.
pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let Go { light, pinned, options, what } = Parser::parse2(parse, input)?;
    let Job { evaluated_here, closure } = Job::new(what)?;
    let gusty = gusty(&options);
    let setters: Vec<TokenStream> = options.iter().filter_map(setter).collect();
    if setters.is_empty() && light.is_none() && !pinned {
        let spawn = quote!(#gusty::spawn(#closure));
        if evaluated_here.is_empty() {
            return Ok(spawn);
        }
        return Ok(quote!({ #evaluated_here #spawn }));
    }
    // Bound first: options are evaluated before receiver and arguments.
    let builder = Ident::new("builder", Span::mixed_site());
    let pin = pinned.then(|| quote!(.pinned()));
    let lighten =
        light.map(|unsafe_token| quote!(let #builder = #unsafe_token { #builder.light() };));
    Ok(quote!({
        let #builder = #gusty::Builder::new() #pin #(#setters)*;
        #lighten
        #evaluated_here
        #gusty::__private::go_with(#builder, #closure)
    }))
}

fn parse(input: ParseStream) -> Result<Go> {
    let mut options = Vec::new();
    let (mut light, mut pinned) = (None, false);
    loop {
        if at_light(input) {
            light = Some(input.parse()?);
            input.parse::<Ident>()?;
            input.parse::<Token![,]>()?;
            continue;
        }
        if at_pinned(input) {
            pinned = true;
            input.parse::<Ident>()?;
            input.parse::<Token![,]>()?;
            continue;
        }
        if !at_option(input) {
            break;
        }
        options.push(parse_option(input, OPTIONS, &options)?);
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    if input.is_empty() {
        let message = "nothing to run: give `go!` a closure, a block, a call \
                       or a variable that is a closure";
        return Err(Error::new(Span::call_site(), message));
    }
    let what = input.parse()?;
    if input.peek(Token![;]) {
        return Err(
            input.error("`go!` runs one expression; put statements in a block: `go!({ .. })`")
        );
    }
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    if at_option(input) {
        return Err(input.error("options come before what is to run: `go!(name = .., { .. })`"));
    }
    if !input.is_empty() {
        return Err(input.error("`go!` runs one thing; put several in a block: `go!({ .. })`"));
    }
    Ok(Go { light, pinned, options, what })
}

/// `unsafe light,`: no expression begins like this.
fn at_light(input: ParseStream) -> bool {
    let ahead = input.fork();
    ahead.parse::<Token![unsafe]>().is_ok()
        && ahead.parse::<Ident>().is_ok_and(|word| word == "light")
        && ahead.peek(Token![,])
}

/// `pinned,` and more after it: by itself it would be a variable.
fn at_pinned(input: ParseStream) -> bool {
    let ahead = input.fork();
    ahead.parse::<Ident>().is_ok_and(|word| word == "pinned")
        && ahead.parse::<Token![,]>().is_ok()
        && !ahead.is_empty()
}

/// The builder call for an option, or nothing for `crate`.
fn setter(option: &Opt) -> Option<TokenStream> {
    let OptValue::Expr(value) = &option.value else { return None };
    let span = at(value);
    Some(match option.name.to_string().as_str() {
        "name" => quote_spanned!(span=> .name(::std::string::String::from(#value))),
        _ => quote_spanned!(span=> .stack_size(#value)),
    })
}

/// What runs there, and what is done here before.
struct Job {
    /// `let` statements.
    evaluated_here: TokenStream,
    /// An expression that is `FnOnce()`.
    closure: TokenStream,
}

impl Job {
    fn new(what: Expr) -> Result<Job> {
        let span = at(&what);
        let only = |closure| Ok(Job { evaluated_here: TokenStream::new(), closure });
        match what {
            Expr::Closure(closure) if closure.asyncness.is_some() => Err(refuse_async(&closure)),
            Expr::Closure(closure) if !closure.inputs.is_empty() => Err(Error::new_spanned(
                &closure.inputs,
                "a goroutine is given no arguments: capture them, or use the call form `go!(f(x))`",
            )),
            Expr::Async(block) => Err(refuse_async(&block)),
            Expr::Await(future) => Err(refuse_async(&future)),
            Expr::Block(_) | Expr::Unsafe(_) => only(quote_spanned!(span=> move || #what)),
            Expr::Call(call) => Ok(Job::call(call, span)),
            Expr::MethodCall(call) => Ok(Job::method_call(call, span)),
            // Parentheses say: a value to run, not a call to take apart.
            Expr::Paren(value) => only(value.expr.into_token_stream()),
            Expr::Macro(_)
            | Expr::ForLoop(_)
            | Expr::While(_)
            | Expr::Loop(_)
            | Expr::Assign(_) => Err(Error::new_spanned(
                what,
                "this would run here and not in the goroutine: put it in a block: `go!({ .. })`",
            )),
            value => only(value.into_token_stream()),
        }
    }

    fn call(call: ExprCall, span: Span) -> Job {
        let attrs = &call.attrs;
        let (function, mut evaluated_here) = match *call.func {
            Expr::Path(path) => (path.into_token_stream(), TokenStream::new()),
            computed => {
                let function = made_up("function", &computed);
                let binding = quote!(let #function = #computed;);
                (function.into_token_stream(), binding)
            }
        };
        let (bindings, arguments) = bind(call.args);
        evaluated_here.extend(bindings);
        let closure = quote_spanned!(span=> move || #(#attrs)* #function(#(#arguments),*));
        Job { evaluated_here, closure }
    }

    fn method_call(call: ExprMethodCall, span: Span) -> Job {
        let ExprMethodCall { attrs, receiver, method, turbofish, args, .. } = call;
        let object = made_up("receiver", &receiver);
        let (bindings, arguments) = bind(args);
        let evaluated_here = quote! {
            #[allow(unused_mut, reason = "the method may take `&mut self`")]
            let mut #object = #receiver;
            #bindings
        };
        let call = quote!(#object.#method #turbofish (#(#arguments),*));
        let closure = quote_spanned!(span=> move || #(#attrs)* #call);
        Job { evaluated_here, closure }
    }
}

/// Binds the arguments of a call to names (GO1): the `let` statements and what to pass instead.
///
/// Closures at the end of the list stay where they are: making one has no effect of its own and
/// nothing is evaluated after them, and only in place are their parameters' types inferred.
fn bind(arguments: Punctuated<Expr, Token![,]>) -> (TokenStream, Vec<TokenStream>) {
    let mut arguments: Vec<Expr> = arguments.into_iter().collect();
    let is_closure = |argument: &Expr| matches!(argument, Expr::Closure(_));
    let bound =
        arguments.iter().rposition(|argument| !is_closure(argument)).map_or(0, |last| last + 1);
    let closures = arguments.split_off(bound);
    let names: Vec<Ident> = arguments
        .iter()
        .enumerate()
        .map(|(i, argument)| made_up(&format!("argument_{i}"), argument))
        .collect();
    let bindings = quote!(#(let #names = #arguments;)*);
    let in_place = closures.iter().map(ToTokens::to_token_stream);
    let passed = names.iter().map(ToTokens::to_token_stream).chain(in_place).collect();
    (bindings, passed)
}

/// The place of a user's tokens, with the hygiene of the invocation (GO2, GO3).
fn at(tokens: &impl Spanned) -> Span {
    Span::call_site().located_at(tokens.span())
}

/// A name that only the expansion can see, at the place of what it stands for (GO2, GO3).
fn made_up(name: &str, stands_for: &impl Spanned) -> Ident {
    Ident::new(name, Span::mixed_site().located_at(stands_for.span()))
}

fn refuse_async(tokens: &impl ToTokens) -> Error {
    Error::new_spanned(
        tokens,
        "a goroutine runs blocking code, not a future: drop `async` and `.await`, \
         or use `block_on` in a block",
    )
}

#[cfg(test)]
mod tests;
