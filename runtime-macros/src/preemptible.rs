//! Job: `#[preemptible]`: a check in front of each round of each loop of a function.
//! Not here: the documentation, at the macro (`lib.rs`).

use proc_macro2::TokenStream;
use quote::quote;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Error, ExprAsync, ExprConst, Item, ItemFn, Result, parse_quote};

use crate::options::{CRATE, OptionList};

/// What `#[preemptible(options)] item` expands to.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = OptionList::parse(options, &[CRATE])?;
    let mut function: ItemFn = syn::parse2(item).map_err(|error| {
        let message = format!("`#[gusty::preemptible]` belongs on a function ({error})");
        Error::new(error.span(), message)
    })?;
    if let Some(constness) = &function.sig.constness {
        let message = "the function under `#[gusty::preemptible]` cannot be `const`";
        return Err(Error::new_spanned(constness, message));
    }
    let mut loops = Loops { gusty: options.gusty(), found: 0 };
    loops.visit_block_mut(&mut function.block);
    if loops.found == 0 {
        let message = "no loop here for `#[gusty::preemptible]` to put a check into (loops in \
                       macros and in nested functions are not looked at)";
        return Err(Error::new_spanned(&function.sig.ident, message));
    }
    Ok(quote!(#function))
}

/// Puts the check into loops.
struct Loops {
    gusty: TokenStream,
    found: usize,
}

impl Loops {
    fn check(&mut self, body: &mut Block) {
        self.found += 1;
        visit_mut::visit_block_mut(self, body);
        let gusty = &self.gusty;
        body.stmts.insert(0, parse_quote!(#gusty::check_preempt();));
    }
}

impl VisitMut for Loops {
    fn visit_expr_loop_mut(&mut self, node: &mut syn::ExprLoop) {
        self.check(&mut node.body);
    }

    fn visit_expr_while_mut(&mut self, node: &mut syn::ExprWhile) {
        self.visit_expr_mut(&mut node.cond);
        self.check(&mut node.body);
    }

    fn visit_expr_for_loop_mut(&mut self, node: &mut syn::ExprForLoop) {
        self.visit_expr_mut(&mut node.expr);
        self.check(&mut node.body);
    }

    // Code that belongs to another function, or runs elsewhere.
    fn visit_item_mut(&mut self, _: &mut Item) {}
    fn visit_expr_async_mut(&mut self, _: &mut ExprAsync) {}
    fn visit_expr_const_mut(&mut self, _: &mut ExprConst) {}
}

#[cfg(test)]
mod tests;
