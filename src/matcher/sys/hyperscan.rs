//! Hyperscan in block mode, literals only: the functions of libhs this crate calls, and three owners over them
//! (`Database`, `Scratch`, and the compile error's text).
//!
//! The declarations follow `hs_common.h`, `hs_compile.h` and `hs_runtime.h` of Hyperscan 5.x, whose ABI is stable over
//! 5.1 to 5.4. A binding of our own because the published ones take patterns as `String`, and ours are bytes.
//!
//! Literals go to the compiler's literal interface, which makes the fastest code, with one exception. For short
//! haystacks the compiler adds a DFA to every set of pure literals, and in sets of middling size building that DFA is
//! nearly all of the compile time (128 literals: 20 ms of 22) and gains nothing on 20 bytes (63 ns with it, 47
//! without). It is left out where any expression reports starts of matches, so those sets are compiled as expressions
//! (every byte as `\xHH`) with one decoy of that kind, whose id no one asks for.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

#[repr(C)]
struct HsDatabase {
    _opaque: [u8; 0],
}

#[repr(C)]
struct HsScratch {
    _opaque: [u8; 0],
}

#[repr(C)]
struct HsCompileError {
    message: *mut c_char,
    /// Index of the expression at fault, negative where it is none of them.
    expression: c_int,
}

#[repr(C)]
#[derive(Default)]
struct HsPlatformInfo {
    tune: c_uint,
    cpu_features: c_ulonglong,
    reserved1: c_ulonglong,
    reserved2: c_ulonglong,
}

type OnEvent = unsafe extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, *mut c_void) -> c_int;

unsafe extern "C" {
    fn hs_version() -> *const c_char;
    fn hs_valid_platform() -> c_int;
    fn hs_populate_platform(platform: *mut HsPlatformInfo) -> c_int;
    fn hs_compile_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        elements: c_uint,
        mode: c_uint,
        platform: *const HsPlatformInfo,
        db: *mut *mut HsDatabase,
        error: *mut *mut HsCompileError,
    ) -> c_int;
    fn hs_compile_lit_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        lengths: *const usize,
        elements: c_uint,
        mode: c_uint,
        platform: *const HsPlatformInfo,
        db: *mut *mut HsDatabase,
        error: *mut *mut HsCompileError,
    ) -> c_int;
    fn hs_free_compile_error(error: *mut HsCompileError) -> c_int;
    fn hs_free_database(db: *mut HsDatabase) -> c_int;
    fn hs_database_size(db: *const HsDatabase, size: *mut usize) -> c_int;
    fn hs_serialize_database(db: *const HsDatabase, bytes: *mut *mut c_char, length: *mut usize) -> c_int;
    fn hs_deserialize_database(bytes: *const c_char, length: usize, db: *mut *mut HsDatabase) -> c_int;
    fn hs_alloc_scratch(db: *const HsDatabase, scratch: *mut *mut HsScratch) -> c_int;
    fn hs_clone_scratch(src: *const HsScratch, dest: *mut *mut HsScratch) -> c_int;
    fn hs_free_scratch(scratch: *mut HsScratch) -> c_int;
    fn hs_scan(
        db: *const HsDatabase,
        data: *const c_char,
        length: c_uint,
        flags: c_uint,
        scratch: *mut HsScratch,
        on_event: Option<OnEvent>,
        context: *mut c_void,
    ) -> c_int;
    fn free(p: *mut c_void);
}

const HS_SUCCESS: c_int = 0;
const HS_INVALID: c_int = -1;
const HS_SCAN_TERMINATED: c_int = -3;
const HS_MODE_BLOCK: c_uint = 1;
const HS_FLAG_CASELESS: c_uint = 1;
const HS_FLAG_DOTALL: c_uint = 2;
const HS_FLAG_SINGLEMATCH: c_uint = 8;
const HS_FLAG_SOM_LEFTMOST: c_uint = 256;

/// Sizes of sets that are compiled with the decoy, where no literal is shorter than [`DECOY_BYTES_MIN`]: single bytes
/// are no literals to the expression compiler, and many of them take it seconds.
const WITH_DECOY: RangeInclusive<usize> = 40..=500;
const DECOY_BYTES_MIN: usize = 3;
/// Not a literal, so that the expression compiler keeps it apart.
const DECOY: &CStr = c"\\xf1\\xe3\\xd7\\xc5\\x9b\\x8d\\xf7[\\x9f\\x91]";
const DECOY_ID: c_uint = c_uint::MAX;

/// A literal for [`Database::compile`].
pub(crate) struct Literal<'a> {
    pub bytes: &'a [u8],
    pub nocase: bool,
    /// Report at most one place per scan (`HS_FLAG_SINGLEMATCH`), else every place.
    pub once: bool,
    pub id: u32,
}

impl Literal<'_> {
    fn flags(&self) -> c_uint {
        let once = if self.once { HS_FLAG_SINGLEMATCH } else { 0 };
        once | if self.nocase { HS_FLAG_CASELESS } else { 0 }
    }
}

/// What went wrong in a library call, in words.
#[derive(Debug)]
pub(crate) struct HsError(pub String);

fn failed(call: &str, code: c_int) -> HsError {
    let why = match code {
        -1 => "invalid parameter",
        -2 => "out of memory",
        -4 => "refused by the compiler",
        -5 => "made by another version",
        -6 => "made for another processor",
        -7 => "made for another mode",
        -8 | -9 => "misaligned memory",
        -10 => "scratch in use",
        -11 => "processor lacks SSSE3",
        -12 => "too little space",
        _ => "unknown error",
    };
    HsError(format!("{call}: {why} ({code})"))
}

/// What compiling took and gave back to the library's heap goes back to the system: it is no heap of the program's.
#[cfg(target_env = "gnu")]
pub(crate) fn trim_heap() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> c_int;
    }
    // SAFETY: takes no pointer, and any thread may call it at any time.
    unsafe { malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn trim_heap() {}

/// Whether this processor can run Hyperscan at all (SSSE3).
pub(crate) fn usable() -> bool {
    // SAFETY: no arguments; reads CPUID only.
    unsafe { hs_valid_platform() == HS_SUCCESS }
}

/// The library's version and what of the processor its compiled databases depend on.
pub(crate) fn identity() -> String {
    let mut p = HsPlatformInfo::default();
    // SAFETY: `p` is a valid, writable hs_platform_info for the time of the call.
    unsafe { hs_populate_platform(&mut p) };
    // SAFETY: hs_version returns a static NUL-terminated string.
    let version = unsafe { CStr::from_ptr(hs_version()) };
    format!("hyperscan {} tune {:x} features {:x}", version.to_string_lossy(), p.tune, p.cpu_features)
}

/// A compiled set of literals, immutable.
pub(crate) struct Database(NonNull<HsDatabase>);

// SAFETY: a database is read-only after compilation, and Hyperscan documents it as shareable between threads.
unsafe impl Send for Database {}
// SAFETY: as above; scanning takes `const hs_database_t *`.
unsafe impl Sync for Database {}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: we own the pointer, it came from the library, and nothing uses it after this.
        unsafe { hs_free_database(self.0.as_ptr()) };
    }
}

impl Database {
    /// [`DECOY_ID`] may be reported beside the literals' ids.
    pub(crate) fn compile(literals: &[Literal<'_>]) -> Result<Database, HsError> {
        if WITH_DECOY.contains(&literals.len()) && literals.iter().all(|l| l.bytes.len() >= DECOY_BYTES_MIN) {
            return Self::compile_expressions(literals);
        }
        // Some of Hyperscan's relatives refuse literals here that they take as expressions.
        Self::compile_literals(literals).or_else(|_| Self::compile_expressions(literals))
    }

    fn compile_literals(literals: &[Literal<'_>]) -> Result<Database, HsError> {
        let count = c_uint::try_from(literals.len()).map_err(|_| HsError("too many literals".into()))?;
        let pointers: Vec<*const c_char> = literals.iter().map(|l| l.bytes.as_ptr().cast()).collect();
        let lengths: Vec<usize> = literals.iter().map(|l| l.bytes.len()).collect();
        let flags: Vec<c_uint> = literals.iter().map(Literal::flags).collect();
        let ids: Vec<c_uint> = literals.iter().map(|l| l.id).collect();
        let mut db = std::ptr::null_mut();
        let mut error = std::ptr::null_mut();
        // SAFETY: the four arrays have `count` elements and outlive the call, as do the bytes the pointers name, of
        // the lengths given; a null platform means the current host; `db` and `error` are writable.
        let code = unsafe {
            hs_compile_lit_multi(
                pointers.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                lengths.as_ptr(),
                count,
                HS_MODE_BLOCK,
                std::ptr::null(),
                &mut db,
                &mut error,
            )
        };
        match NonNull::new(db) {
            Some(db) if code == HS_SUCCESS => Ok(Database(db)),
            _ => Err(compile_error(code, error)),
        }
    }

    fn compile_expressions(literals: &[Literal<'_>]) -> Result<Database, HsError> {
        let texts: Vec<CString> = literals.iter().map(|l| escaped(l.bytes)).collect();
        let mut pointers: Vec<*const c_char> = texts.iter().map(|t| t.as_ptr()).collect();
        let mut flags: Vec<c_uint> = literals.iter().map(|l| l.flags() | HS_FLAG_DOTALL).collect();
        let mut ids: Vec<c_uint> = literals.iter().map(|l| l.id).collect();
        pointers.push(DECOY.as_ptr());
        flags.push(HS_FLAG_SOM_LEFTMOST);
        ids.push(DECOY_ID);
        let count = c_uint::try_from(ids.len()).map_err(|_| HsError("too many literals".into()))?;
        let mut db = std::ptr::null_mut();
        let mut error = std::ptr::null_mut();
        // SAFETY: the three arrays have `count` elements and outlive the call, as do the NUL-terminated strings the
        // pointers name; a null platform means the current host; `db` and `error` are writable.
        let code = unsafe {
            hs_compile_multi(
                pointers.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                count,
                HS_MODE_BLOCK,
                std::ptr::null(),
                &mut db,
                &mut error,
            )
        };
        match NonNull::new(db) {
            Some(db) if code == HS_SUCCESS => Ok(Database(db)),
            _ => Err(compile_error(code, error)),
        }
    }

    /// Bytes of the compiled form.
    pub(crate) fn size(&self) -> usize {
        let mut size = 0;
        // SAFETY: a live database and a writable size.
        unsafe { hs_database_size(self.0.as_ptr(), &mut size) };
        size
    }

    pub(crate) fn serialize(&self) -> Result<Vec<u8>, HsError> {
        let mut bytes = std::ptr::null_mut();
        let mut length = 0;
        // SAFETY: a live database; the two results are writable.
        let code = unsafe { hs_serialize_database(self.0.as_ptr(), &mut bytes, &mut length) };
        if code != HS_SUCCESS || bytes.is_null() {
            return Err(failed("hs_serialize_database", code));
        }
        // SAFETY: on success the library allocated `length` initialised bytes at `bytes`.
        let out = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }.to_vec();
        // SAFETY: the block came from the library's default allocator, malloc, and is ours to free; not used after.
        unsafe { free(bytes.cast()) };
        Ok(out)
    }

    /// The library checks version, platform, length and a CRC-32. It is no defence against forged bytes: those must
    /// not get here (see the cache of the control plane).
    pub(crate) fn deserialize(bytes: &[u8]) -> Result<Database, HsError> {
        let mut db = std::ptr::null_mut();
        // SAFETY: pointer and length of one live slice; the library copies what it keeps.
        let code = unsafe { hs_deserialize_database(bytes.as_ptr().cast(), bytes.len(), &mut db) };
        match NonNull::new(db) {
            Some(db) if code == HS_SUCCESS => Ok(Database(db)),
            _ => Err(failed("hs_deserialize_database", code)),
        }
    }

    /// Calls `on_match(id, end)`. A panic in it stops the scan and goes on in the caller. `haystack` is shorter than
    /// 4 GiB (else an error). Where `scratch` has not been grown for this database, it is.
    pub(crate) fn scan(
        &self,
        scratch: &mut Scratch,
        haystack: &[u8],
        on_match: &mut dyn FnMut(u32, usize),
    ) -> Result<(), HsError> {
        let length = c_uint::try_from(haystack.len()).map_err(|_| HsError("haystack too long".into()))?;
        let mut context = Context { on_match, panic: None };
        let mut code = self.scan_raw(scratch, haystack, length, &mut context);
        if code == HS_INVALID {
            // Too small a scratch is refused before anything is scanned, so nothing is reported twice.
            scratch.grow(self)?;
            code = self.scan_raw(scratch, haystack, length, &mut context);
        }
        if let Some(panic) = context.panic {
            resume_unwind(panic);
        }
        match code {
            HS_SUCCESS | HS_SCAN_TERMINATED => Ok(()),
            code => Err(failed("hs_scan", code)),
        }
    }

    fn scan_raw(&self, scratch: &mut Scratch, haystack: &[u8], length: c_uint, context: &mut Context<'_>) -> c_int {
        // SAFETY: a live database; `length` bytes at the slice's start are readable; the scratch is live and, being
        // borrowed mutably, used by no one else; `context` outlives the call and is the type `report` casts to.
        unsafe {
            hs_scan(
                self.0.as_ptr(),
                haystack.as_ptr().cast(),
                length,
                0,
                scratch.0.as_ptr(),
                Some(report),
                std::ptr::from_mut(context).cast(),
            )
        }
    }
}

struct Context<'a> {
    on_match: &'a mut dyn FnMut(u32, usize),
    panic: Option<Box<dyn Any + Send>>,
}

/// Unwinding must not cross the library's frames: a panic is kept and the scan stopped.
unsafe extern "C" fn report(
    id: c_uint,
    _from: c_ulonglong,
    to: c_ulonglong,
    _flags: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: `scan_raw` passed a pointer to a live Context that nothing else touches during the scan.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    let on_match = &mut context.on_match;
    match catch_unwind(AssertUnwindSafe(|| on_match(id, to as usize))) {
        Ok(()) => 0,
        Err(panic) => {
            context.panic = Some(panic);
            1
        }
    }
}

/// Working memory of one thread, for all databases it has been grown for.
pub(crate) struct Scratch(NonNull<HsScratch>);

// SAFETY: a scratch is plain memory without ties to a thread; it must only not be used by two at once, which `&mut`
// at every use ensures.
unsafe impl Send for Scratch {}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: we own the pointer, it came from the library, and no scan is running (`&mut self`).
        unsafe { hs_free_scratch(self.0.as_ptr()) };
    }
}

impl Scratch {
    pub(crate) fn new(db: &Database) -> Result<Scratch, HsError> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: a live database; a null scratch asks for a new one.
        let code = unsafe { hs_alloc_scratch(db.0.as_ptr(), &mut raw) };
        match NonNull::new(raw) {
            Some(raw) if code == HS_SUCCESS => Ok(Scratch(raw)),
            _ => Err(failed("hs_alloc_scratch", code)),
        }
    }

    /// Makes it serve `db` too.
    pub(crate) fn grow(&mut self, db: &Database) -> Result<(), HsError> {
        // The library frees the old block when it moves, and on failure may have done so: own a copy meanwhile.
        let mut raw = self.try_clone()?.into_raw();
        // SAFETY: a live database; `raw` is a live scratch nobody else knows.
        let code = unsafe { hs_alloc_scratch(db.0.as_ptr(), &mut raw) };
        match NonNull::new(raw) {
            Some(raw) if code == HS_SUCCESS => {
                *self = Scratch(raw);
                Ok(())
            }
            _ => Err(failed("hs_alloc_scratch", code)),
        }
    }

    pub(crate) fn try_clone(&self) -> Result<Scratch, HsError> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: a live scratch not in use (a scan holds it by `&mut`); a writable result.
        let code = unsafe { hs_clone_scratch(self.0.as_ptr(), &mut raw) };
        match NonNull::new(raw) {
            Some(raw) if code == HS_SUCCESS => Ok(Scratch(raw)),
            _ => Err(failed("hs_clone_scratch", code)),
        }
    }

    fn into_raw(self) -> *mut HsScratch {
        let raw = self.0.as_ptr();
        std::mem::forget(self);
        raw
    }
}

/// Every byte as `\xHH`: no metacharacter, no NUL.
fn escaped(bytes: &[u8]) -> CString {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(bytes.len() * 4 + 1);
    for &b in bytes {
        text.extend_from_slice(&[b'\\', b'x', DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    }
    // None of the bytes above is NUL, so this cannot fail; the empty string would be refused by the compiler.
    CString::new(text).unwrap_or_default()
}

fn compile_error(code: c_int, error: *mut HsCompileError) -> HsError {
    if error.is_null() {
        return failed("hyperscan compiler", code);
    }
    // SAFETY: on failure the library points `error` at a live structure whose message is NUL-terminated (or null).
    let (message, expression) = unsafe {
        let e = &*error;
        let text =
            if e.message.is_null() { String::new() } else { CStr::from_ptr(e.message).to_string_lossy().into_owned() };
        (text, e.expression)
    };
    // SAFETY: the error is the library's and is not used after this.
    unsafe { hs_free_compile_error(error) };
    HsError(format!("hyperscan compiler: {message} (pattern {expression})"))
}
