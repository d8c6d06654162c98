//! PCRE2 over bytes: a compiled expression (`Code`) and a thread's working memory (`Working`: match data, match
//! context with the limits, JIT stack).
//!
//! The binding is `pcre2-sys`, which links the system's library or builds the source it carries. The safe `pcre2` crate
//! takes patterns as `str` and has no setter for the limits, and both matter here.
//!
//! Expressions are compiled without UTF, with `\n` as the newline whatever the library's default, so that one rule
//! means the same on every machine.

use pcre2_sys::{
    PCRE2_ANCHORED, PCRE2_CASELESS, PCRE2_DOLLAR_ENDONLY, PCRE2_DOTALL, PCRE2_ERROR_DEPTHLIMIT, PCRE2_ERROR_HEAPLIMIT,
    PCRE2_ERROR_JIT_STACKLIMIT, PCRE2_ERROR_MATCHLIMIT, PCRE2_EXTENDED, PCRE2_INFO_ALLOPTIONS, PCRE2_INFO_CAPTURECOUNT,
    PCRE2_JIT_COMPLETE, PCRE2_MULTILINE, PCRE2_NEWLINE_LF, PCRE2_UNGREEDY, PCRE2_UNSET, PCRE2_USE_OFFSET_LIMIT,
    pcre2_code_8, pcre2_code_free_8, pcre2_compile_8, pcre2_compile_context_create_8, pcre2_compile_context_free_8,
    pcre2_get_error_message_8, pcre2_get_ovector_pointer_8, pcre2_jit_compile_8, pcre2_jit_stack_8,
    pcre2_jit_stack_assign_8, pcre2_jit_stack_create_8, pcre2_jit_stack_free_8, pcre2_match_8, pcre2_match_context_8,
    pcre2_match_context_create_8, pcre2_match_context_free_8, pcre2_match_data_8, pcre2_match_data_create_8,
    pcre2_match_data_free_8, pcre2_pattern_info_8, pcre2_set_depth_limit_8, pcre2_set_heap_limit_8,
    pcre2_set_match_limit_8, pcre2_set_newline_8, pcre2_set_offset_limit_8,
};
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr::NonNull;

/// Smallest and largest stack of JIT code, in bytes, per thread.
const JIT_STACK_MIN: usize = 32 << 10;
const JIT_STACK_MAX: usize = 512 << 10;
/// Heap of the interpreter, in KiB, per thread.
const HEAP_LIMIT_KIB: u32 = 4 << 10;

/// The switches of one expression.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub caseless: bool,
    pub multiline: bool,
    pub dot_all: bool,
    pub extended: bool,
    pub anchored: bool,
    pub dollar_end_only: bool,
    pub ungreedy: bool,
}

impl Options {
    fn bits(self) -> u32 {
        let pairs = [
            (self.caseless, PCRE2_CASELESS),
            (self.multiline, PCRE2_MULTILINE),
            (self.dot_all, PCRE2_DOTALL),
            (self.extended, PCRE2_EXTENDED),
            (self.anchored, PCRE2_ANCHORED),
            (self.dollar_end_only, PCRE2_DOLLAR_ENDONLY),
            (self.ungreedy, PCRE2_UNGREEDY),
        ];
        pairs.iter().filter(|p| p.0).fold(0, |bits, p| bits | p.1)
    }
}

/// A compiled expression.
pub(crate) struct Code {
    raw: NonNull<pcre2_code_8>,
    captures: u32,
    /// Begins where the buffer does, or not at all.
    anchored: bool,
}

// SAFETY: PCRE2 documents compiled code as read-only and shareable between threads once (JIT) compilation is over, and
// both happen in `compile` before anyone else sees it.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: we own the pointer; nothing uses it after this.
        unsafe { pcre2_code_free_8(self.raw.as_ptr()) };
    }
}

impl Code {
    /// The error says what is wrong and at which byte of the pattern. With `jit`, machine code is made where the
    /// system allows it (it may refuse writable and executable memory); the interpreter serves otherwise.
    pub(crate) fn compile(pattern: &[u8], options: Options, jit: bool) -> Result<Code, String> {
        let (mut code, mut at) = (0, 0);
        let bits = options.bits() | PCRE2_USE_OFFSET_LIMIT;
        // SAFETY: null asks for the default allocator; a null result is allowed below.
        let context = unsafe { pcre2_compile_context_create_8(std::ptr::null_mut()) };
        if context.is_null() {
            return Err("out of memory".into());
        }
        // SAFETY: a live context; the pattern's pointer and length are of one live slice; `code` and `at` are writable;
        // the context is freed once and not used after.
        let raw = unsafe {
            pcre2_set_newline_8(context, PCRE2_NEWLINE_LF);
            let raw = pcre2_compile_8(pattern.as_ptr(), pattern.len(), bits, &mut code, &mut at, context);
            pcre2_compile_context_free_8(context);
            raw
        };
        let Some(raw) = NonNull::new(raw) else {
            return Err(format!("{} at byte {at}", message(code)));
        };
        if jit {
            // SAFETY: live code that only we hold. Failure leaves it usable by the interpreter.
            unsafe { pcre2_jit_compile_8(raw.as_ptr(), PCRE2_JIT_COMPLETE) };
        }
        let (mut captures, mut all) = (0u32, 0u32);
        // SAFETY: live code; both questions are answered with a uint32_t.
        unsafe {
            pcre2_pattern_info_8(
                raw.as_ptr(),
                PCRE2_INFO_CAPTURECOUNT,
                std::ptr::from_mut(&mut captures).cast::<c_void>(),
            );
            pcre2_pattern_info_8(raw.as_ptr(), PCRE2_INFO_ALLOPTIONS, std::ptr::from_mut(&mut all).cast::<c_void>());
        };
        Ok(Code { raw, captures, anchored: all & PCRE2_ANCHORED != 0 })
    }

    /// Groups, without the whole match.
    pub(crate) fn captures(&self) -> u32 {
        self.captures
    }

    pub(crate) fn anchored(&self) -> bool {
        self.anchored
    }
}

/// How a match ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Match,
    NoMatch,
    /// Match, depth, heap or JIT stack limit.
    Limit,
}

/// A thread's working memory for every expression, with the limits.
pub(crate) struct Working {
    data: NonNull<pcre2_match_data_8>,
    /// Groups `data` has room for, the whole match included.
    pairs: u32,
    context: NonNull<pcre2_match_context_8>,
    jit_stack: NonNull<pcre2_jit_stack_8>,
}

// SAFETY: plain memory without ties to a thread; used only through `&mut`.
unsafe impl Send for Working {}

impl Drop for Working {
    fn drop(&mut self) {
        // SAFETY: we own the three; nothing uses them after this.
        unsafe {
            pcre2_match_data_free_8(self.data.as_ptr());
            pcre2_match_context_free_8(self.context.as_ptr());
            pcre2_jit_stack_free_8(self.jit_stack.as_ptr());
        }
    }
}

impl Working {
    /// `None` when out of memory.
    pub(crate) fn new(depth_limit: u32) -> Option<Working> {
        const PAIRS: u32 = 16;
        // SAFETY: null asks for the default allocator; a null result ends in None, freeing what was made (freeing null
        // is allowed for all three); a live context takes the limits and the live stack, which outlives it here.
        unsafe {
            let data = pcre2_match_data_create_8(PAIRS, std::ptr::null_mut());
            let context = pcre2_match_context_create_8(std::ptr::null_mut());
            let stack = pcre2_jit_stack_create_8(JIT_STACK_MIN, JIT_STACK_MAX, std::ptr::null_mut());
            let (Some(d), Some(c), Some(s)) = (NonNull::new(data), NonNull::new(context), NonNull::new(stack)) else {
                pcre2_match_data_free_8(data);
                pcre2_match_context_free_8(context);
                pcre2_jit_stack_free_8(stack);
                return None;
            };
            pcre2_set_depth_limit_8(context, depth_limit);
            pcre2_set_heap_limit_8(context, HEAP_LIMIT_KIB);
            pcre2_jit_stack_assign_8(context, None, stack.cast::<c_void>());
            Some(Working { data: d, pairs: PAIRS, context: c, jit_stack: s })
        }
    }

    /// The first match that begins in `starts`, which is not empty and ends at most one past the haystack's length.
    /// `limit`: steps from one start.
    pub(crate) fn find(&mut self, code: &Code, haystack: &[u8], starts: Range<usize>, limit: u32) -> Outcome {
        if starts.is_empty() || starts.start > haystack.len() {
            return Outcome::NoMatch;
        }
        if code.captures >= self.pairs && !self.grow(code.captures + 1) {
            return Outcome::Limit;
        }
        // SAFETY: live code, data and context; pointer and length are of one live slice; the start is within it, as was
        // asked above.
        let rc = unsafe {
            pcre2_set_match_limit_8(self.context.as_ptr(), limit);
            pcre2_set_offset_limit_8(self.context.as_ptr(), starts.end - 1);
            pcre2_match_8(
                code.raw.as_ptr(),
                haystack.as_ptr(),
                haystack.len(),
                starts.start,
                0,
                self.data.as_ptr(),
                self.context.as_ptr(),
            )
        };
        match rc {
            rc if rc > 0 => Outcome::Match,
            PCRE2_ERROR_MATCHLIMIT | PCRE2_ERROR_DEPTHLIMIT | PCRE2_ERROR_HEAPLIMIT | PCRE2_ERROR_JIT_STACKLIMIT => {
                Outcome::Limit
            }
            // No match, or (for an expression that switches UTF on by itself) a subject that is not UTF-8.
            _ => Outcome::NoMatch,
        }
    }

    /// Span of group `i` of the last match; `i` counts from 0, the whole match.
    pub(crate) fn group(&self, i: u32) -> Option<Range<usize>> {
        if i >= self.pairs {
            return None;
        }
        let i = i as usize;
        // SAFETY: the output vector holds `pairs` pairs, all initialised by creation or the last match, and `i` is
        // one of them.
        let (start, end) = unsafe {
            let v = pcre2_get_ovector_pointer_8(self.data.as_ptr());
            (*v.add(2 * i), *v.add(2 * i + 1))
        };
        // \K in a look-around can put the start behind the end.
        (start != PCRE2_UNSET && end != PCRE2_UNSET).then(|| start.min(end)..end)
    }

    fn grow(&mut self, pairs: u32) -> bool {
        // SAFETY: null asks for the default allocator.
        let Some(data) = NonNull::new(unsafe { pcre2_match_data_create_8(pairs, std::ptr::null_mut()) }) else {
            return false;
        };
        // SAFETY: we own the old one and replace it at once.
        unsafe { pcre2_match_data_free_8(self.data.as_ptr()) };
        (self.data, self.pairs) = (data, pairs);
        true
    }
}

fn message(code: c_int) -> String {
    let mut text = [0u8; 256];
    // SAFETY: a writable buffer and its length.
    let n = unsafe { pcre2_get_error_message_8(code, text.as_mut_ptr(), text.len()) };
    let n = usize::try_from(n).unwrap_or(0).min(text.len());
    String::from_utf8_lossy(&text[..n]).into_owned()
}
