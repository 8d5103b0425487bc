//! Job: `#[main]` and `#[test]`: move a function's body into a closure given to the runtime.
//! Not here: the documentation of the options, at the macros (`lib.rs`).

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Error, ItemFn, Result, ReturnType, Type, spanned::Spanned};

use crate::options::{CRATE, OptionList};

/// What `#[main(options)] item` expands to.
pub(crate) fn expand_main(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = OptionList::parse(options, &["procs", "stack_size", CRATE])?;
    let function = parse_function(item, "main")?;
    if function.sig.ident != "main" {
        let message = "`#[gusty::main]` belongs on `fn main`; in any other function use `go!`";
        return Err(Error::new_spanned(&function.sig.ident, message));
    }
    let gusty = options.gusty();
    let [procs, stack_size] = ["procs", "stack_size"].map(|name| match options.expr(name) {
        Some(value) => quote_spanned!(value.span()=> ::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    });
    let settings = quote! {
        #gusty::__private::MainOptions { procs: #procs, stack_size: #stack_size }
    };
    Ok(wrap(&function, &gusty, "run_main", &settings))
}

/// What `#[test(options)] item` expands to.
pub(crate) fn expand_test(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = OptionList::parse(options, &[CRATE])?;
    let function = parse_function(item, "test")?;
    if let Some(test) = function.attrs.iter().find(|attr| attr.path().is_ident("test")) {
        let message = "`#[gusty::test]` takes the place of `#[test]`: remove this one";
        return Err(Error::new_spanned(test, message));
    }
    let (gusty, name) = (options.gusty(), &function.sig.ident);
    let wrapped = wrap(&function, &gusty, "run_test", &quote!(::core::stringify!(#name)));
    Ok(quote!(#[::core::prelude::v1::test] #wrapped))
}

/// Parses the item under `#[gusty::attribute]` and refuses what a goroutine's entry cannot be.
fn parse_function(item: TokenStream, attribute: &str) -> Result<ItemFn> {
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        let message =
            format!("`#[gusty::{attribute}]` belongs on a function with a body ({error})");
        Error::new(error.span(), message)
    })?;
    let signature = &function.sig;
    let refuse = |tokens: &dyn ToTokens, why: &str| {
        let message = format!("the function under `#[gusty::{attribute}]` {why}");
        Err(Error::new_spanned(tokens.to_token_stream(), message))
    };
    if let Some(asyncness) = &signature.asyncness {
        return refuse(asyncness, "is ordinary blocking code: remove `async` and `.await`");
    }
    if let Some(constness) = &signature.constness {
        return refuse(constness, "cannot be `const`");
    }
    if let Some(unsafety) = &signature.unsafety {
        return refuse(unsafety, "cannot be `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi, "cannot be `extern`");
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        return refuse(&signature.generics, "cannot be generic");
    }
    if !signature.inputs.is_empty() {
        return refuse(&signature.inputs, "takes no arguments");
    }
    Ok(function)
}

/// The same function with the body `run(first, || -> Ret { body })`.
fn wrap(function: &ItemFn, gusty: &TokenStream, run: &str, first: &TokenStream) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    // At the return type, for that is what "`Termination` is not implemented" is about.
    let span = Span::call_site().located_at(sig.output.span());
    let run = Ident::new(run, span);
    let gusty: TokenStream = gusty.clone().into_iter().map(|token| located(token, span)).collect();
    let closure_type = match &sig.output {
        ReturnType::Default => quote!(-> ()),
        // A closure cannot be declared to return `impl Trait`; it is inferred from the body.
        ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => TokenStream::new(),
        declared => declared.to_token_stream(),
    };
    let call = quote_spanned!(span=> #gusty::__private::#run(#first, || #closure_type #block));
    quote! {
        #(#attrs)*
        #vis #sig { #call }
    }
}

fn located(mut token: TokenTree, span: Span) -> TokenTree {
    token.set_span(token.span().located_at(span));
    token
}

#[cfg(test)]
mod tests;
