//! What runs in a child process.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::message;

/// Decodes frames from standard input to standard output until the parent closes the pipe.
///
/// The hidden subcommand of the binary calls this and nothing else. The child limits its own
/// memory, leaves no core file (it would hold pixels), and ends itself where its parent is gone.
///
/// # Errors
///
/// Any [`io::Error`] of the pipes; the child is then of no use and should end.
pub fn run_child() -> io::Result<()> {
    // a codec's panic is the frame's error, told to the parent; its words could name what is in the file
    std::panic::set_hook(Box::new(|_| {}));
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    let watch = start_watch();
    let before = address_space();
    leave_no_core()?;
    while let Some((request, stream)) = message::read_request(&mut stdin)? {
        limit_memory(before.saturating_add(request.memory_bytes))?;
        let patience = Duration::from_millis(request.patience_ms.saturating_mul(2));
        // the watch ends only with this process, so both messages arrive
        let _ = watch.send(Some(patience));
        let answer = request.codec.decode(&stream, &request.expected);
        let _ = watch.send(None);
        message::write_answer(&mut stdout, answer)?;
    }
    Ok(())
}

/// Ends the process where a frame takes longer than it may and no parent has killed it.
fn start_watch() -> Sender<Option<Duration>> {
    let (sender, receiver) = channel::<Option<Duration>>();
    let (ready, is_ready) = channel();
    thread::spawn(move || {
        // what a thread reserves for its memory must be there before the limit is drawn
        let _ = ready.send(());
        while let Ok(message) = receiver.recv() {
            let Some(patience) = message else { continue };
            if receiver.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                std::process::exit(1);
            }
        }
    });
    let _ = is_ready.recv();
    sender
}

#[cfg(unix)]
fn leave_no_core() -> io::Result<()> {
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0)
}

#[cfg(not(unix))]
fn leave_no_core() -> io::Result<()> {
    Ok(())
}

/// Limits the address space; the next frame may be allowed more.
#[cfg(unix)]
fn limit_memory(bytes: u64) -> io::Result<()> {
    let (_, most) = rlimit::getrlimit(rlimit::Resource::AS)?;
    rlimit::setrlimit(rlimit::Resource::AS, bytes.min(most), most)
}

#[cfg(not(unix))]
fn limit_memory(_bytes: u64) -> io::Result<()> {
    Ok(())
}

/// Bytes of address space in use; 0 where the system does not tell.
#[cfg(unix)]
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap_or_default();
    let kibibytes: u64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
    kibibytes * 1_024
}

#[cfg(not(unix))]
fn address_space() -> u64 {
    0
}
