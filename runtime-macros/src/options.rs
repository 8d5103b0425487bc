//! Job: `name = value` lists in front of, or in place of, other input.
//! Not here: what the options mean.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Error, Expr, Path, Result, Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
};

/// The option that names the path of `gusty`.
pub(crate) const CRATE: &str = "crate";

/// One `name = value`.
pub(crate) struct Opt {
    pub(crate) name: Ident,
    pub(crate) value: OptValue,
}

/// `crate` takes a path, everything else an expression.
pub(crate) enum OptValue {
    Crate(Path),
    Expr(Box<Expr>),
}

/// Whether the input goes on with `name =` (and not `name ==` or `name =>`).
pub(crate) fn at_option(input: ParseStream) -> bool {
    input.peek(syn::Ident::peek_any)
        && input.peek2(Token![=])
        && !input.peek2(Token![==])
        && !input.peek2(Token![=>])
}

/// Parses one option, which must be one of `valid` and none of `seen`.
pub(crate) fn parse_option(input: ParseStream, valid: &[&str], seen: &[Opt]) -> Result<Opt> {
    let name = input.call(Ident::parse_any)?;
    if !valid.iter().any(|option| name == option) {
        let valid = valid.join("`, `");
        let message = format!("unknown option `{name}`; the options are `{valid}`");
        return Err(Error::new(name.span(), message));
    }
    if seen.iter().any(|other| other.name == name) {
        return Err(Error::new(name.span(), format!("option `{name}` is given twice")));
    }
    input.parse::<Token![=]>()?;
    let value = if name == CRATE {
        OptValue::Crate(input.call(Path::parse_mod_style)?)
    } else {
        OptValue::Expr(input.parse()?)
    };
    Ok(Opt { name, value })
}

/// The arguments of an attribute: options and nothing else.
pub(crate) struct OptionList(Vec<Opt>);

impl OptionList {
    pub(crate) fn parse(tokens: TokenStream, valid: &[&str]) -> Result<OptionList> {
        let parser = |input: ParseStream| {
            let mut options = Vec::new();
            while !input.is_empty() {
                if !at_option(input) {
                    let valid = valid.join(" = ..`, `");
                    return Err(input.error(format!("expected an option: `{valid} = ..`")));
                }
                options.push(parse_option(input, valid, &options)?);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(OptionList(options))
        };
        Parser::parse2(parser, tokens)
    }

    /// The value given for `name`.
    pub(crate) fn expr(&self, name: &str) -> Option<&Expr> {
        self.0.iter().find_map(|option| match &option.value {
            OptValue::Expr(value) if option.name == name => Some(&**value),
            _ => None,
        })
    }

    /// The path of `gusty`.
    pub(crate) fn gusty(&self) -> TokenStream {
        gusty(&self.0)
    }
}

/// The path of `gusty`: option `crate`, or `::gusty`.
pub(crate) fn gusty(options: &[Opt]) -> TokenStream {
    let given = options.iter().find_map(|option| match &option.value {
        OptValue::Crate(path) => Some(path.to_token_stream()),
        OptValue::Expr(_) => None,
    });
    given.unwrap_or_else(|| quote!(::gusty))
}
