//! Homes of earlier formats under this program, and homes of later ones: the first lose nothing, the second are
//! refused by name.

mod golden;
mod newer;
mod older;
