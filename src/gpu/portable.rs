//! Kernels for devices that have no immediates, such as those of browsers: the same text with a uniform in their place.

use super::immediates::immediates_as_uniform;

/// A kernel's text as WebGPU takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portable {
    pub source: String,
    /// Names of what were immediates, one word each, in the order in which they lie in the uniform at
    /// `@group(1) @binding(0)`; empty of a kernel without.
    pub immediates: Vec<String>,
}

/// The text of a composed kernel with its immediates as a uniform. Nothing else is another: lines keep their numbers.
///
/// # Panics
/// If an immediate is no single word, which no kernel has: it would lie elsewhere in a uniform.
pub fn portable(composed: &str) -> Portable {
    let source = immediates_as_uniform(composed);
    if source == composed {
        return Portable { source, immediates: Vec::new() };
    }
    let (_, rest) = composed.split_once("struct Imm {").expect("immediates are a struct Imm");
    let (members, _) = rest.split_once('}').expect("a struct ends");
    let code: String = members.lines().map(|l| l.split("//").next().unwrap_or_default()).collect();
    let member = |text: &str| {
        let (name, kind) = text.split_once(':').expect("a member has a type");
        assert!(["u32", "i32", "f32"].contains(&kind.trim()), "'{text}' is no single word");
        name.trim().to_string()
    };
    let immediates = code.split(',').filter(|m| !m.trim().is_empty()).map(member).collect();
    Portable { source, immediates }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immediates_become_a_uniform_and_lines_stay() {
        let text = "struct Imm {\n    a: u32, // first, of two\n    b: f32,\n}\nvar<immediate> imm: Imm;\nfn f() -> u32 { return imm.a; }\n";
        let got = portable(text);
        assert_eq!(got.immediates, ["a", "b"]);
        assert_eq!(got.source.lines().count(), text.lines().count());
        let uniform = "@group(1) @binding(0) var<uniform> imm: Imm;";
        assert!(got.source.contains(uniform) && !got.source.contains("immediate"));
        let plain = "fn f() {}\n";
        assert_eq!(portable(plain), Portable { source: plain.into(), immediates: vec![] });
    }

    #[test]
    #[should_panic(expected = "no single word")]
    fn wide_immediates_are_refused() {
        portable("struct Imm { a: vec2<u32> }\nvar<immediate> imm: Imm;\n");
    }
}
