//! How a verb ends: exit codes that tell the errors apart.

use std::process::ExitCode;

use libchan_iris::Error;

/// What the help says of it.
pub(in crate::iris) const HELP: &str = "\
Exit codes:
  0  done                              5  no room in the relay or at the member; nobody has seen it
  1  failed on this side; see the text 6  lost with the member or the relay; a handler may have run
  2  the arguments are wrong           7  refused: no right to it, or a wrong token
  3  no answer in time                 8  the handler answered with an error, which is on standard error
  4  the cluster has no member         9  the relay was gone before it left; nobody has seen it

A session, with a relay and a service that echoes:
  $ libchan iris request unix:///run/iris.sock echo 'hello'
  hello
  $ echo '[2,3]' | libchan iris request unix:///run/iris.sock adder --value --json
  5
  $ libchan iris request unix:///run/iris.sock nobody '?' --no-wait; echo $?
  libchan: the cluster has no member
  4
  $ libchan iris subscribe unix:///run/iris.sock prices &
  subscribed to \"prices\"
  $ libchan iris publish unix:///run/iris.sock prices 'tea 3'
  tea 3
  $ libchan iris status http://127.0.0.1:8080/     (a relay with --status 127.0.0.1:8080)
  $ tar c . | libchan iris tunnel unix:///run/iris.sock backup
  $ LIBCHAN_TOKEN=... libchan iris broadcast tls://iris.example:5556 workers reload";

/// Why a verb ends before its work is done.
pub(super) enum Ended {
    Iris(Error),
    /// The arguments, or what came on standard input, are wrong.
    Usage(String),
    /// Something of this machine.
    Local(String),
    /// Who reads our output has had enough: no error.
    NoReader,
}

impl Ended {
    /// What came of writing to standard output.
    pub(super) fn output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::NoReader,
            _ => Self::Local(format!("standard output: {error}")),
        }
    }

    /// Says it, and gives the exit code.
    pub(super) fn tell(self) -> ExitCode {
        let (why, code) = match self {
            Self::Iris(error) => (error.to_string(), code(&error)),
            Self::Usage(why) => (why, 2),
            Self::Local(why) => (why, 1),
            Self::NoReader => return ExitCode::SUCCESS,
        };
        eprintln!("libchan: {}", super::show::printable(why.as_bytes()));
        ExitCode::from(code)
    }
}

fn code(error: &Error) -> u8 {
    match error {
        Error::Timeout => 3,
        Error::NoMember => 4,
        Error::Busy => 5,
        Error::Lost => 6,
        Error::Refused(_) => 7,
        Error::Remote(_) => 8,
        Error::Closed => 9,
        _ => 1,
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Iris(error)
    }
}
