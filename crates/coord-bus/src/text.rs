//! Texts from outside, such as names, messages and files: how they are shown, how they are made shorter, and which name
//! was meant where one is wrong.

mod printable;
mod cut;
mod nearest;

pub use cut::{cut, shortened, without_middle};
pub use nearest::{all_near, nearest};
pub use printable::{Printable, is_printable};
