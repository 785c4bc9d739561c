//! Where a login, or a page, leads: a path on this host, never another host.

/// The longest path that is kept.
const LONGEST_BYTES: usize = 2048;

/// The path, or `/` for everything that a browser could read as another place.
pub fn local(path: &str) -> &str {
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let fits = path.len() <= LONGEST_BYTES && path.starts_with('/') && !path.starts_with("//");
    if plain && fits { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_a_path_on_this_host_is_kept() {
        assert_eq!(local("/targets?page=2#top"), "/targets?page=2#top");
        for elsewhere in ["", "targets", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/a b"] {
            assert_eq!(local(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
