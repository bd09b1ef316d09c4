//! A scanner: clamd, spoken to by its command INSTREAM.
//!
//! Source: clamd(8), section COMMANDS.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 64 << 10;
/// The longest answer that is read.
const ANSWER_BYTES: u64 = 1 << 10;
/// The longest name of a signature that is kept.
const NAME_CHARACTERS: usize = 128;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// Where clamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClamdAddress {
    /// `tcp:host:port`.
    Tcp(String),
    /// `unix:/path/of/its/socket`.
    Unix(PathBuf),
}

/// A text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an address of clamd is tcp:host:port or unix:/path")]
pub struct AddressError;

impl FromStr for ClamdAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(path.into()));
        }
        let address = text.strip_prefix("tcp:").ok_or(AddressError)?;
        let (host, port) = address.rsplit_once(':').ok_or(AddressError)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(AddressError);
        }
        Ok(Self::Tcp(address.to_owned()))
    }
}

/// How clamd is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClamdSettings {
    /// Where it listens.
    pub address: ClamdAddress,
    /// How long it may be silent, and how long an object waits for its verdict.
    pub patience: Duration,
}

/// What clamd says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It found nothing.
    Clean,
    /// It found this signature.
    Found(String),
}

/// Why clamd has not said anything.
#[derive(Debug, thiserror::Error)]
pub enum ClamdError {
    /// It cannot be reached, or was silent for too long.
    #[error("the scanner does not answer")]
    Silent(#[from] io::Error),
    /// No verdict came in time, the wait for a turn included.
    #[error("the scanner has not judged in time")]
    Slow,
    /// It has answered that it could not scan: the object is too long for it, for one.
    #[error("the scanner could not scan")]
    NotScanned,
}

/// Ends the reading of an object whose verdict nobody awaits any more; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<Mutex<bool>>);

impl Stop {
    /// Nothing more is read once this returns.
    pub(crate) fn stop(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Does `read`, unless it was stopped before.
    pub(crate) fn unless<T>(&self, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let is_stopped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_stopped { Err(io::ErrorKind::TimedOut.into()) } else { read() }
    }

    /// Reads from `bytes` until it is stopped.
    pub(crate) fn guard<R: Read>(&self, bytes: R) -> impl Read {
        Guarded { bytes, stop: self.clone() }
    }
}

struct Guarded<R> {
    bytes: R,
    stop: Stop,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.unless(|| self.bytes.read(buffer))
    }
}

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

impl ClamdSettings {
    /// Has all of `bytes` scanned; blocks.
    ///
    /// # Errors
    ///
    /// [`ClamdError`] where no verdict came.
    pub fn scan(&self, mut bytes: impl Read) -> Result<Verdict, ClamdError> {
        let mut clamd = self.connect()?;
        // Where clamd has had enough it answers and hangs up: then the answer counts.
        let sent = send(&mut *clamd, &mut bytes);
        let mut answer = Vec::new();
        let read = clamd.take(ANSWER_BYTES).read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        match verdict(answer.split('\0').next().unwrap_or_default()) {
            Some(verdict) if sent.is_ok() || verdict != Verdict::Clean => Ok(verdict),
            _ => {
                sent?;
                read?;
                Err(ClamdError::NotScanned)
            }
        }
    }

    fn connect(&self) -> io::Result<Box<dyn Connection>> {
        match &self.address {
            ClamdAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(self.patience))?;
                stream.set_write_timeout(Some(self.patience))?;
                Ok(Box::new(stream))
            }
            ClamdAddress::Tcp(address) => {
                let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT.min(self.patience)) {
                        Ok(stream) => {
                            stream.set_read_timeout(Some(self.patience))?;
                            stream.set_write_timeout(Some(self.patience))?;
                            stream.set_nodelay(true)?;
                            return Ok(Box::new(stream));
                        }
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }
}

/// The command, then chunks behind their lengths, the last of length 0.
fn send(clamd: &mut dyn Connection, bytes: &mut impl Read) -> io::Result<()> {
    clamd.write_all(b"zINSTREAM\0")?;
    let mut chunk = vec![0; 4 + CHUNK_BYTES];
    loop {
        let mut length = 0;
        while length < CHUNK_BYTES {
            match bytes.read(&mut chunk[4 + length..])? {
                0 => break,
                count => length += count,
            }
        }
        chunk[..4].copy_from_slice(&(length as u32).to_be_bytes());
        clamd.write_all(&chunk[..4 + length])?;
        if length == 0 {
            return clamd.flush();
        }
    }
}

/// What `stream: OK` and `stream: NAME FOUND` say.
fn verdict(answer: &str) -> Option<Verdict> {
    let said = answer.trim().strip_prefix("stream: ")?;
    if said == "OK" {
        return Some(Verdict::Clean);
    }
    let name = said.strip_suffix(" FOUND")?;
    let name = name.chars().filter(|it| !it.is_control()).take(NAME_CHARACTERS).collect();
    Some(Verdict::Found(name))
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
pub(crate) mod stub {
    //! A clamd that speaks INSTREAM exactly and knows one signature.

    use super::*;
    use std::net::TcpListener;

    /// What it finds.
    pub(crate) const SIGNATURE: &[u8] =
        b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

    /// Answers on a port of its own, taking objects of up to `limit` bytes.
    pub(crate) fn start(limit: usize) -> ClamdSettings {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream, limit));
            }
        });
        ClamdSettings { address: ClamdAddress::Tcp(address.to_string()), patience: Duration::from_secs(5) }
    }

    fn answer(mut stream: TcpStream, limit: usize) {
        let mut command = [0; 10];
        stream.read_exact(&mut command).unwrap();
        assert_eq!(&command, b"zINSTREAM\0");
        let mut all = Vec::new();
        loop {
            let mut length = [0; 4];
            if stream.read_exact(&mut length).is_err() {
                return;
            }
            let length = u32::from_be_bytes(length) as usize;
            if length == 0 {
                break;
            }
            if all.len() + length > limit {
                stream.write_all(b"INSTREAM size limit exceeded. ERROR\0").unwrap();
                return;
            }
            let start = all.len();
            all.resize(start + length, 0);
            stream.read_exact(&mut all[start..]).unwrap();
        }
        let is_found = all.windows(SIGNATURE.len()).any(|window| window == SIGNATURE);
        let said: &[u8] = if is_found { b"stream: Eicar-Test-Signature FOUND\0" } else { b"stream: OK\0" };
        stream.write_all(said).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_and_nothing_else_is_one() {
        for good in ["tcp:127.0.0.1:3310", "tcp:[::1]:3310", "unix:/run/clamav/clamd.ctl"] {
            assert_eq!(good.parse::<ClamdAddress>().unwrap().to_string(), good);
        }
        for bad in ["", "127.0.0.1:3310", "tcp:3310", "tcp::3310", "tcp:host:port", "unix:clamd.ctl"] {
            assert!(bad.parse::<ClamdAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_scanner_says_is_understood_whatever_the_length() {
        let clamd = stub::start(10 << 20);
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7] {
            let mut bytes = vec![7; length];
            assert_eq!(clamd.scan(&bytes[..]).unwrap(), Verdict::Clean, "{length}");
            bytes.extend_from_slice(stub::SIGNATURE);
            assert_eq!(clamd.scan(&bytes[..]).unwrap(), Verdict::Found("Eicar-Test-Signature".into()));
        }
    }

    #[test]
    fn who_cannot_say_has_not_said_that_it_is_clean() {
        let short = stub::start(1_000);
        assert!(short.scan(&vec![0; 5_000_000][..]).is_err());
        let nobody = ClamdSettings {
            address: ClamdAddress::Unix("/nowhere/clamd.ctl".into()),
            patience: Duration::from_secs(1),
        };
        assert!(matches!(nobody.scan(&b"x"[..]), Err(ClamdError::Silent(_))));
        // accepts, and says nothing
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = ClamdSettings {
            address: ClamdAddress::Tcp(listener.local_addr().unwrap().to_string()),
            patience: Duration::from_millis(200),
        };
        assert!(matches!(silent.scan(&b"x"[..]), Err(ClamdError::Silent(_))));
        for answer in ["", "stream: ", "OK", "INSTREAM size limit exceeded. ERROR", "stream: x ERROR"] {
            assert_eq!(verdict(answer), None, "{answer}");
        }
    }
}
