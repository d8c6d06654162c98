//! Filters in the language of tcpdump (pcap-filter(7)), compiled by libpcap to the classic BPF that the kernel runs.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;

/// An open capture of libpcap's, which nobody looks into.
#[repr(C)]
struct Pcap {
    _opaque: [u8; 0],
}

/// `struct bpf_program`.
#[repr(C)]
struct Program {
    len: u32,
    code: *mut libc::sock_filter,
}

#[link(name = "pcap")]
unsafe extern "C" {
    fn pcap_create(source: *const c_char, error: *mut c_char) -> *mut Pcap;
    fn pcap_set_snaplen(p: *mut Pcap, bytes: c_int) -> c_int;
    fn pcap_set_buffer_size(p: *mut Pcap, bytes: c_int) -> c_int;
    fn pcap_activate(p: *mut Pcap) -> c_int;
    fn pcap_open_dead(link: c_int, snaplen: c_int) -> *mut Pcap;
    fn pcap_compile(p: *mut Pcap, to: *mut Program, filter: *const c_char, optimize: c_int, mask: u32) -> c_int;
    fn pcap_freecode(program: *mut Program);
    fn pcap_geterr(p: *mut Pcap) -> *const c_char;
    fn pcap_close(p: *mut Pcap);
}

/// Bytes of each frame that pass: all.
const SNAP: c_int = crate::FRAME_BYTES_MAX as c_int;
const MASK_UNKNOWN: u32 = 0xffff_ffff;

/// Closed when dropped.
struct Handle(NonNull<Pcap>);

impl Handle {
    /// One on a port. Its filters know that the kernel keeps tags beside frames.
    fn on(port: &str) -> Result<Handle, String> {
        let name = CString::new(port).map_err(|_| "a name with a zero byte in it".to_owned())?;
        // PCAP_ERRBUF_SIZE
        let mut error = [0 as c_char; 256];
        // SAFETY: a terminated name, and room for a message as long as libpcap makes one.
        let handle = unsafe { pcap_create(name.as_ptr(), error.as_mut_ptr()) };
        let Some(handle) = NonNull::new(handle).map(Handle) else { return Err(text(error.as_ptr())) };
        // SAFETY: the handle is open and not active yet.
        let active = unsafe {
            pcap_set_snaplen(handle.0.as_ptr(), SNAP);
            pcap_set_buffer_size(handle.0.as_ptr(), 1 << 20);
            pcap_activate(handle.0.as_ptr())
        };
        if active < 0 { Err(handle.error()) } else { Ok(handle) }
    }

    /// One of no port, for Ethernet.
    fn dead() -> Result<Handle, String> {
        // SAFETY: plain call; the result is checked.
        let handle = unsafe { pcap_open_dead(1, SNAP) };
        NonNull::new(handle).map(Handle).ok_or_else(|| "libpcap has no memory".to_owned())
    }

    fn error(&self) -> String {
        // SAFETY: the handle is open; the message is its own.
        text(unsafe { pcap_geterr(self.0.as_ptr()) })
    }

    fn compile(&self, filter: &str) -> Result<Vec<libc::sock_filter>, String> {
        let filter = CString::new(filter).map_err(|_| "a filter with a zero byte in it".to_owned())?;
        let mut program = Program { len: 0, code: std::ptr::null_mut() };
        // SAFETY: the handle is open, the text terminated, and the program ours to be filled in.
        if unsafe { pcap_compile(self.0.as_ptr(), &mut program, filter.as_ptr(), 1, MASK_UNKNOWN) } < 0 {
            return Err(self.error());
        }
        // SAFETY: libpcap made so many instructions, of the same four words as the kernel's; they are freed once.
        unsafe {
            let code = std::slice::from_raw_parts(program.code, program.len as usize).to_vec();
            pcap_freecode(&mut program);
            Ok(code)
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: open, and closed once.
        unsafe { pcap_close(self.0.as_ptr()) };
    }
}

fn text(at: *const c_char) -> String {
    // SAFETY: callers pass a terminated message that lives as long as this call.
    unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()
}

/// The program of a filter for frames of a port.
pub fn compile_for(port: &str, filter: &str) -> Result<Vec<libc::sock_filter>, String> {
    Handle::on(port)?.compile(filter)
}

/// What is wrong with a filter, whatever the port, as long as it is Ethernet.
pub fn check(filter: &str) -> Result<(), String> {
    Handle::dead()?.compile(filter).map(|_| ())
}
