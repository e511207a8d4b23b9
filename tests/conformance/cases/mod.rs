//! The cases, a file a theme.
#![allow(clippy::too_many_lines, reason = "a theme is a list of cases")]

use crate::suite::Case;

macro_rules! themes {
    ($($theme:ident),* $(,)?) => {
        $(mod $theme;)*

        /// All of them.
        pub fn all() -> Vec<Case> {
            let mut all = Vec::new();
            $(all.extend($theme::cases().into_iter().map(|case| Case { theme: stringify!($theme), ..case }));)*
            all
        }
    };
}

themes! {
    apply,
    create,
    delete,
    discovery,
    events,
    eviction,
    get_and_list,
    leases,
    namespaces,
    own_kinds,
    paging,
    patch,
    paths,
    scale,
    selectors,
    status,
    tables,
    update,
    watching,
}
