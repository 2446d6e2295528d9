//! The tests' own ports: each is one test's alone, and no connection leaves from it.

use std::net::{TcpListener, TcpStream};

use crate::harness::ports::{claim, free_address, free_addresses, nobody_listens};

#[test]
fn a_port_is_its_tests_alone_until_the_test_is_over() {
    let test = std::thread::spawn(|| {
        let ports = free_addresses::<3>().map(|address| address.port());
        assert!(ports.iter().all(|port| claim(*port).is_none()));
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        ports
    });
    let ports = test.join().unwrap();
    // Somebody else may have claimed one of them since.
    assert!(ports.iter().any(|port| claim(*port).is_some()));
}

#[test]
fn a_port_on_which_somebody_listens_without_a_claim_is_not_free() {
    let address = free_address();
    assert!(nobody_listens(address.port()));
    let listener = TcpListener::bind(("127.0.0.9", address.port())).unwrap();
    assert!(!nobody_listens(address.port()));
    drop(listener);
    assert!(nobody_listens(address.port()));
}

#[test]
fn connections_leave_from_ports_above_those_that_are_handed_out() {
    let listener = TcpListener::bind(free_address()).unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    assert!(client.local_addr().unwrap().port() > address.port());
}
