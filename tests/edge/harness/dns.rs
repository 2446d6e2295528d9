//! A DNS server on a free port, whose answers a test changes: over UDP, and over TCP where they are
//! too long for that.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::ports::free_address;

/// The longest message over UDP.
const LONGEST: usize = 512;

/// What a [`Dns`] says to every question.
#[derive(Debug, Clone)]
pub enum Records {
    /// The name has these addresses.
    Addresses(Vec<IpAddr>),
    /// The name has these addresses of IPv4; whoever asks for others is not answered.
    Only4(Vec<IpAddr>),
    /// The name does not exist.
    NoName,
    /// The server cannot tell.
    Failure,
    /// Nothing.
    Silence,
}

/// A DNS server. Dropping it closes its port.
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    records: Arc<Mutex<Records>>,
    task: JoinHandle<()>,
}

impl Dns {
    /// A server whose records live for this many seconds.
    pub async fn start(records: Records, ttl: u32) -> Dns {
        let (listener, socket) = sockets().await;
        let address = socket.local_addr().unwrap();
        let records = Arc::new(Mutex::new(records));
        let now = Arc::clone(&records);
        let task = tokio::spawn(async move {
            let mut query = [0; LONGEST];
            loop {
                tokio::select! {
                    received = socket.recv_from(&mut query) => {
                        let (length, client) = received.unwrap();
                        let records = now.lock().unwrap().clone();
                        if let Some(answer) = answer(&query[..length], &records, ttl) {
                            socket.send_to(&shortened(answer), client).await.ok();
                        }
                    }
                    accepted = listener.accept() => {
                        let (stream, _) = accepted.unwrap();
                        let records = now.lock().unwrap().clone();
                        tokio::spawn(serve(stream, records, ttl));
                    }
                }
            }
        });
        Dns {
            address,
            records,
            task,
        }
    }

    /// From now on it says something else.
    pub fn change(&self, records: Records) {
        *self.records.lock().unwrap() = records;
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Both on the same port.
async fn sockets() -> (TcpListener, UdpSocket) {
    let address = free_address();
    let listener = TcpListener::bind(address).await.unwrap();
    (listener, UdpSocket::bind(address).await.unwrap())
}

/// RFC 1035 section 4.2.2: each message has its length before it.
async fn serve(mut stream: TcpStream, records: Records, ttl: u32) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await.unwrap();
        if let Some(answer) = answer(&query, &records, ttl) {
            let length = u16::try_from(answer.len()).unwrap();
            stream.write_u16(length).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    }
}

/// What is too long for UDP is cut off (TC), and says so.
fn shortened(mut answer: Vec<u8>) -> Vec<u8> {
    const TRUNCATED: u8 = 2;
    if answer.len() > LONGEST {
        answer[2] |= TRUNCATED;
        // No answers are left, and so none is said to be there.
        answer[6..8].fill(0);
        let question = answer[12..].iter().position(|byte| *byte == 0).unwrap();
        answer.truncate(12 + question + 5);
    }
    answer
}

/// RFC 1035 section 4. The question is repeated as it came; what else is in the query (EDNS) is
/// ignored.
fn answer(query: &[u8], records: &Records, ttl: u32) -> Option<Vec<u8>> {
    const HEAD: usize = 12;
    let mut end = HEAD;
    while query[end] != 0 {
        end += 1 + usize::from(query[end]);
    }
    let kind = u16::from_be_bytes([query[end + 1], query[end + 2]]);
    let question = &query[HEAD..end + 5];
    let (code, addresses) = match records {
        Records::Addresses(addresses) => (0, addresses.as_slice()),
        Records::Only4(_) if kind != 1 => return None,
        Records::Only4(addresses) => (0, addresses.as_slice()),
        Records::NoName => (3, [].as_slice()),
        Records::Failure => (2, [].as_slice()),
        Records::Silence => return None,
    };
    let bytes = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), 1) => Some(address.octets().to_vec()),
            (IpAddr::V6(address), 28) => Some(address.octets().to_vec()),
            _ => None,
        });
    let record = |bytes: Vec<u8>| {
        let mut record = vec![0xC0, HEAD as u8];
        record.extend(kind.to_be_bytes());
        record.extend(1_u16.to_be_bytes());
        record.extend(ttl.to_be_bytes());
        record.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        record.extend(bytes);
        record
    };
    let answers: Vec<Vec<u8>> = bytes.map(record).collect();
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1]);
    answer.extend(u16::try_from(answers.len()).unwrap().to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    answer.extend(answers.concat());
    Some(answer)
}
