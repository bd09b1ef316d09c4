//! Where the shared libraries of runtimes are: where the settings say, else where systems keep theirs.

use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian, Red Hat, and those who install by hand keep libraries.
const SYSTEM_FOLDERS: [&str; 7] = [
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/opt/onnxruntime/lib",
    "/opt/intel/openvino/runtime/lib/intel64",
];
/// So many entries of a folder are looked at.
const MAX_ENTRIES: usize = 10_000;

/// A library by its file name, and the folders in which wheels and archives keep it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library {
    /// How its file begins: `libonnxruntime.so`; a version may follow.
    pub stem: &'static str,
    /// Below the folder that the settings name.
    pub folders: &'static [&'static str],
}

/// ONNX Runtime: the PyPI wheel keeps it in `onnxruntime/capi` below `site-packages`.
pub(crate) const ONNXRUNTIME: Library =
    Library { stem: "libonnxruntime.so", folders: &["", "lib", "capi", "onnxruntime/capi"] };

/// OpenVINO's C interface: the PyPI wheel keeps it in `openvino/libs` below `site-packages`.
pub(crate) const OPENVINO: Library = Library {
    stem: "libopenvino_c.so",
    folders: &["", "libs", "openvino/libs", "lib", "runtime/lib/intel64", "runtime/lib/aarch64"],
};

impl Library {
    /// The library's file: `told` itself or in a folder below it; where nothing is told, in the system's folders.
    ///
    /// # Errors
    ///
    /// Where it was looked for.
    pub(crate) fn find(&self, told: Option<&Path>) -> Result<PathBuf, String> {
        let Some(told) = told else {
            return SYSTEM_FOLDERS
                .iter()
                .find_map(|folder| self.of_folder(Path::new(folder)))
                .ok_or_else(|| format!("no setting names it, and the system has no {}", self.stem));
        };
        if told.is_file() {
            return Ok(told.to_owned());
        }
        let folders = self.folders.iter().map(|folder| told.join(folder));
        folders
            .into_iter()
            .find_map(|folder| self.of_folder(&folder))
            .ok_or_else(|| format!("{} is no library and holds no {}", told.display(), self.stem))
    }

    /// The file in a folder: without a version, or else the last by name.
    fn of_folder(&self, folder: &Path) -> Option<PathBuf> {
        let plain = folder.join(self.stem);
        if plain.is_file() {
            return Some(plain);
        }
        let is_it = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let version = name.strip_prefix(self.stem).and_then(|rest| rest.strip_prefix('.'));
            version.is_some_and(|version| version.chars().all(|it| it.is_ascii_digit() || it == '.'))
                && path.is_file()
        };
        let entries = fs::read_dir(folder).ok()?.take(MAX_ENTRIES);
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_it).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_by_file_folder_or_the_folder_of_its_wheel() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("openvino/libs");
        fs::create_dir_all(&wheel).unwrap();
        for name in
            ["libopenvino_c.so.2630", "libopenvino_c.so.2641", "libopenvino_c.so.txt", "libopenvino.so.9"]
        {
            fs::write(wheel.join(name), "").unwrap();
        }
        let file = wheel.join("libopenvino_c.so.2641");
        for told in [folder.path().to_owned(), wheel.clone(), folder.path().join("openvino"), file.clone()] {
            assert_eq!(OPENVINO.find(Some(&told)), Ok(file.clone()), "{}", told.display());
        }
        fs::write(wheel.join("libopenvino_c.so"), "").unwrap();
        assert_eq!(OPENVINO.find(Some(&wheel)), Ok(wheel.join("libopenvino_c.so")));
    }

    #[test]
    fn a_place_without_the_library_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = ONNXRUNTIME.find(Some(folder.path())).unwrap_err();
        assert!(refused.ends_with("is no library and holds no libonnxruntime.so"), "{refused}");
        assert!(ONNXRUNTIME.find(Some(&folder.path().join("nowhere"))).is_err());
    }
}
