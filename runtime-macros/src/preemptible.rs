//! Job: `#[preemptible]`: put a check at the head of every loop body of a function.
//! Not here: what the check does (`gusty::check_preempt`), the documentation of the attribute (`lib.rs`).
//!
//! Which loops: those of the function itself and of the closures in it, however deep. Not those of
//! items declared inside (they can have the attribute themselves), of `async` blocks, and of
//! constants and array lengths, where a call is not allowed. What a macro's arguments contain is not
//! Rust syntax before the macro says so, and is left alone, too.

use proc_macro2::TokenStream;
use quote::quote;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Error, ExprAsync, ExprConst, ExprForLoop, ExprLoop, ExprRepeat, ExprWhile};
use syn::{GenericArgument, Item, ItemFn, Result, Type, parse_quote};

use crate::options::{CRATE, OptionList};

/// What `#[preemptible(options)] item` expands to.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = OptionList::parse(options, &[CRATE])?;
    let mut function: ItemFn = syn::parse2(item).map_err(|error| {
        let message =
            format!("`#[gusty::preemptible]` belongs on a function with a body ({error})");
        Error::new(error.span(), message)
    })?;
    if let Some(asyncness) = &function.sig.asyncness {
        let message = "`#[gusty::preemptible]` is for code that runs on goroutines: an `async fn` \
                       yields by `.await`";
        return Err(Error::new_spanned(asyncness, message));
    }
    if let Some(constness) = &function.sig.constness {
        let message = "`#[gusty::preemptible]` cannot put a check into a `const fn`";
        return Err(Error::new_spanned(constness, message));
    }
    let gusty = options.gusty();
    let mut loops = Loops { check: quote!(#gusty::check_preempt();), found: 0 };
    loops.visit_block_mut(&mut function.block);
    if loops.found == 0 {
        let message = "`#[gusty::preemptible]` finds no loop in this function; loops in functions \
                       inside it, in `async` blocks and in macro calls do not count";
        return Err(Error::new_spanned(&function.sig.ident, message));
    }
    Ok(quote!(#function))
}

struct Loops {
    /// The statement to insert.
    check: TokenStream,
    found: usize,
}

impl Loops {
    fn instrument(&mut self, body: &mut Block) {
        let check = &self.check;
        body.stmts.insert(0, parse_quote!(#check));
        self.found += 1;
    }
}

impl VisitMut for Loops {
    fn visit_expr_for_loop_mut(&mut self, node: &mut ExprForLoop) {
        visit_mut::visit_expr_for_loop_mut(self, node);
        self.instrument(&mut node.body);
    }

    fn visit_expr_while_mut(&mut self, node: &mut ExprWhile) {
        visit_mut::visit_expr_while_mut(self, node);
        self.instrument(&mut node.body);
    }

    fn visit_expr_loop_mut(&mut self, node: &mut ExprLoop) {
        visit_mut::visit_expr_loop_mut(self, node);
        self.instrument(&mut node.body);
    }

    fn visit_expr_repeat_mut(&mut self, node: &mut ExprRepeat) {
        self.visit_expr_mut(&mut node.expr); // the length is a constant
    }

    fn visit_item_mut(&mut self, _: &mut Item) {}
    fn visit_expr_async_mut(&mut self, _: &mut ExprAsync) {}
    fn visit_expr_const_mut(&mut self, _: &mut ExprConst) {}
    fn visit_type_mut(&mut self, _: &mut Type) {}
    fn visit_generic_argument_mut(&mut self, _: &mut GenericArgument) {}
}

#[cfg(test)]
mod tests;
