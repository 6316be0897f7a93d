//! The guide, for whoever compiles it: each Rust block of its pages is a documentation test of this
//! package, which has nothing else in it.
#![cfg(doctest)]

macro_rules! pages {
    ($($page:ident: $path:literal),* $(,)?) => {
        $(
            #[doc = include_str!($path)]
            mod $page {}
        )*
    };
}

pages! {
    introduction: "introduction.md",
    tour: "tour.md",
    practices: "practices.md",
    how_to: "how-to.md",
    original: "original.md",
}
