//! Pickles, sound and damaged.

use super::*;

fn walked(pickle: &[u8]) -> Result<(), Fault> {
    walk(&mut &pickle[..])
}

fn forbidden(pickle: &[u8], callable: &str) {
    let named = Err(Fault::Forbidden(callable.into()));
    assert_eq!(walked(pickle), named, "{}", pickle.escape_ascii());
}

#[test]
fn what_weights_need_is_allowed() {
    for pickle in [
        &b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."[..],
        b"\x80\x04\x95\x20\0\0\0\0\0\0\0\x8c\x05torch\x94\x8c\x0cFloatStorage\x94\x93\x94.",
        b"(icollections\nOrderedDict\n.",
        b"Vtorch\nS'Size'\n\x93.",
        // Every way to write an argument.
        b"(I1\nL1L\nF1.5\nPkey\nK\x01M\x01\x02J\x01\x02\x03\x04G12345678l.",
        b"(U\x01aT\x01\0\0\0aX\x01\0\0\0a\x8c\x01a\x8d\x01\0\0\0\0\0\0\0aC\x01aB\x01\0\0\0at.",
        b"\x80\x05\x8e\x01\0\0\0\0\0\0\0a\x96\x01\0\0\0\0\0\0\0a\x97\x98\x8a\x01a\x8b\x01\0\0\0a.",
        // Every way to build something.
        b"}(NNuNNs](NeNa0](\x88\x89d(0N20\x8f(N\x90(N\x91N\x85NN\x86NNN\x87NQ(N1NNN\x92.",
    ] {
        assert_eq!(walked(pickle), Ok(()), "{}", pickle.escape_ascii());
    }
}

#[test]
fn a_name_is_found_however_it_is_written() {
    let system = "posix.system";
    forbidden(b"cposix\nsystem\n(S'ls'\ntR.", system);
    forbidden(b"(S'ls'\niposix\nsystem\n.", system);
    forbidden(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93.", system);
    forbidden(b"X\x05\0\0\0posixU\x06system\x93.", system);
    forbidden(b"S\"posix\"\nVsystem\n\x93.", system);
    forbidden(b"T\x05\0\0\0posix\x8d\x06\0\0\0\0\0\0\0system\x93.", system);
    forbidden(b"c__builtin__\neval\n.", "__builtin__.eval");
    forbidden(b"ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes");
    forbidden(b"ctorch\nSize.mro\n.", "torch.Size.mro");
    forbidden(b"cposix\nsys\x1b[1mtem\n.", "posix.sys\\u{1b}[1mtem");
}

#[test]
fn a_name_of_the_memo_is_found() {
    let system = "posix.system";
    forbidden(b"\x8c\x05posix\x940\x8c\x06system\x940h\x00h\x01\x93.", system);
    forbidden(b"\x8c\x05posixp7\n0\x8c\x06systemr\0\x01\0\0g7\nj\0\x01\0\0\x93.", system);
    forbidden(b"\x8c\x05posixq\x07\x8c\x06systemq\x0800h\x07h\x08\x93.", system);
    // The memo is written again: Python counts what is in it.
    forbidden(b"\x8c\x05torchq\x00\x8c\x05posixq\x00\x8c\x06system\x94000h\x00h\x01\x93.", system);
}

#[test]
fn what_only_lies_near_does_not_hide_a_name() {
    let system = "posix.system";
    // The last strings pushed would be allowed; they are taken from the stack again.
    forbidden(b"\x8c\x05posix\x8c\x06system\x8c\x05torch\x8c\x04Size00\x93.", system);
    forbidden(b"\x8c\x05posix\x8c\x06system(\x8c\x05torch\x8c\x04Size1\x93.", system);
    forbidden(b"\x8c\x05posix\x8c\x06system\x8c\x05torch\x8c\x04Size\x860\x93.", system);
    let hidden = "something whose name is worked out";
    forbidden(b"\x8c\x05posix]\x93.", hidden);
    forbidden(b"S'po\\x73ix'\nS'system'\n\x93.", hidden);
    forbidden(b"\x8c\x05torchc_codecs\nencode\n\x8c\x04Size\x85R\x93.", hidden);
    forbidden(b"\x83\x01\x02.", "extension 513 of copyreg");
}

#[test]
fn what_is_no_pickle_is_broken() {
    let whole = b"\x80\x02ccollections\nOrderedDict\nq\x00)X\x03\0\0\0abcJ\x01\x02\x03\x04.";
    assert_eq!(walked(whole), Ok(()));
    for length in 0..whole.len() {
        assert!(matches!(walked(&whole[..length]), Err(Fault::Broken(_))), "{length}");
    }
    for pickle in [
        &b"\xff."[..],
        b"not a pickle",
        b"0.",
        b"(R.",
        b"t.",
        b"(2.",
        b"h\x00.",
        b"gx\n.",
        b"q\x00.",
        b"\x93.",
        b"X\xff\xff\xff\xffabc.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.",
    ] {
        assert!(matches!(walked(pickle), Err(Fault::Broken(_))), "{}", pickle.escape_ascii());
    }
}

#[test]
fn a_file_without_an_archive_has_five_pickles() {
    let sound = b"\x80\x02K\x01.";
    let bad = b"cposix\nsystem\n.";
    for count in 1..=5 {
        assert_eq!(check_pickles(&sound.repeat(count)[..]), Ok(()));
        let file = [&sound.repeat(count - 1)[..], bad].concat();
        assert_eq!(check_pickles(&file[..]), Err(Fault::Forbidden("posix.system".into())));
    }
    // What follows is no pickle, whatever its bytes.
    assert_eq!(check_pickles(&[&sound.repeat(5)[..], bad, b"\xff"].concat()[..]), Ok(()));
    assert!(matches!(check_pickles(&b""[..]), Err(Fault::Broken(_))));
}

#[test]
fn a_pickle_of_too_many_objects_is_refused() {
    let pickle = vec![b'N'; MAX_OBJECTS + 2];
    assert!(matches!(walked(&pickle), Err(Fault::Broken(reason)) if reason.contains("objects")));
}
