//! Of many HTTP rules a request meets the first that fits, wherever it stands.

use std::fmt::Write as _;

use crate::harness::{Config, Edge};

#[tokio::test]
async fn of_a_thousand_rules_the_first_that_fits_decides() {
    let mut rules = String::new();
    for number in 0..1000 {
        let (host, path) = (number % 100, number / 100);
        writeln!(
            rules,
            "- {{name: '{number}', type: STATIC, statusCode: 200, responseMessage: '{number}',
                conditions: [{{type: HOST, condition: EQUALS, value: h{host}.example}},
                    {{type: PATH, condition: STARTS_WITH, value: /{path}}}]}}"
        )
        .unwrap();
        if number == 500 {
            rules += "- {name: wild, type: STATIC, statusCode: 200, responseMessage: wild,
                conditions: [{type: HOST, condition: ENDS_WITH, value: .example},
                    {type: PATH, condition: ENDS_WITH, value: .ico}]}\n";
        }
    }
    let edge = Edge::start(&Config::new().http_rules(&rules)).await;
    for (host, path, expected) in [
        ("h7.example", "/0", "7"),
        ("H99.Example.:80", "/9/a", "999"),
        ("h7.example", "/4.ico", "407"),
        ("h7.example", "/5.ico", "wild"),
        ("other.example", "/a.ico", "wild"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(
            edge.request(&request).await.text(),
            expected,
            "{host}{path}"
        );
    }
    assert_eq!(edge.get("/0").await.status, 404);
}
