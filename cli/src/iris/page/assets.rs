//! The page and the modules of the JavaScript port, built in: it needs no file beside the program and nothing from elsewhere.

/// What a browser is sent.
pub(super) struct Asset {
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
}

pub(super) const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page. [`SNAPSHOT`] in it stands for a snapshot, so that it shows something before it is live.
pub(super) const PAGE: &str = include_str!("page.html");
pub(super) const SNAPSHOT: &str = "{{snapshot}}";

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../ports/javascript/src/", $name)))),*]
    };
}

/// Path and text of the modules that a page needs.
const MODULES: &[(&str, &str)] = modules![
    "channel.js",
    "codecs/build.js",
    "codecs/index.js",
    "codecs/json.js",
    "codecs/msgpack.js",
    "codecs/raw.js",
    "dial.js",
    "ends.js",
    "errors.js",
    "farewell.js",
    "flush.js",
    "index.js",
    "legs.js",
    "metadata.js",
    "parcel.js",
    "protocol/bytes.js",
    "protocol/clock.js",
    "protocol/codes.js",
    "protocol/frames.js",
    "protocol/ids.js",
    "protocol/limits.js",
    "protocol/machine.js",
    "protocol/numbers.js",
    "protocol/queue.js",
    "protocol/receiving.js",
    "protocol/sending.js",
    "protocol/streaming.js",
    "protocol/turns.js",
    "protocol/window.js",
    "session.js",
    "stream.js",
    "websocket.js",
];

/// What is at a path.
pub(super) fn at(path: &str) -> Option<Asset> {
    match path {
        "/page.css" => Some(Asset { kind: CSS, text: include_str!("page.css") }),
        "/page.js" => Some(Asset { kind: SCRIPT, text: include_str!("page.js") }),
        _ => {
            let name = path.strip_prefix("/libchan/")?;
            MODULES.iter().find(|(known, _)| *known == name).map(|(_, text)| Asset { kind: SCRIPT, text })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each module that is imported, by the page or a module, is built in, and none that nobody imports.
    #[test]
    fn what_is_imported_is_there() {
        let mut seen = Vec::new();
        let mut next = vec!["/page.js".to_owned()];
        while let Some(path) = next.pop() {
            let text = at(&path).unwrap_or_else(|| panic!("{path} is imported and not built in")).text;
            let folder = path.rsplit_once('/').unwrap().0;
            for imported in text.split(" from '").skip(1).filter_map(|rest| rest.split('\'').next()) {
                let mut parts: Vec<&str> = folder.split('/').collect();
                for part in imported.split('/') {
                    match part {
                        "." => {}
                        ".." => drop(parts.pop()),
                        part => parts.push(part),
                    }
                }
                next.push(parts.join("/"));
            }
            seen.push(path);
            next.retain(|path| !seen.contains(path));
        }
        for (name, _) in MODULES {
            assert!(seen.contains(&format!("/libchan/{name}")), "nobody imports {name}");
        }
        assert_eq!(PAGE.matches(SNAPSHOT).count(), 1);
        // Nothing from elsewhere.
        for text in [PAGE, at("/page.css").unwrap().text, at("/page.js").unwrap().text] {
            assert!(!text.contains("//cdn") && !text.contains("https://"), "a resource from elsewhere");
        }
    }
}
