//! What is under a prefix is read whole, as of one revision, however much it is.

use culvert::etcd::{Cause, Client, Put, Txn};

use crate::harness::{Cluster, all, commit, put, soon};

/// Puts so many keys under a prefix, as many at once as etcd takes.
async fn fill(client: &Client, prefix: &str, count: usize, value: &[u8], at_once: usize) {
    let key = |number| format!("{prefix}{number:05}").into_bytes();
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(at_once) {
        let puts = numbers.iter().map(|number| Put {
            key: key(*number),
            value: value.to_vec(),
            lease: 0,
        });
        let puts = puts.collect();
        commit(
            client,
            &Txn {
                puts,
                ..Txn::default()
            },
        )
        .await;
    }
}

#[tokio::test]
async fn what_was_put_is_read_with_its_revision_whatever_its_bytes() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let bytes: Vec<u8> = (0..=255).collect();
    let txn = Txn {
        puts: vec![Put {
            key: [b"all/", &bytes[..]].concat(),
            value: bytes.clone(),
            lease: 0,
        }],
        ..Txn::default()
    };
    let committed = commit(&client, &txn).await;
    commit(&client, &put("alm", "beside")).await;
    let snapshot = soon("a range", client.range(b"all/", None)).await.unwrap();
    let [pair] = &snapshot.pairs[..] else {
        panic!("{snapshot:?}")
    };
    assert_eq!((&pair.key, &pair.value), (&txn.puts[0].key, &bytes));
    assert_eq!(pair.revision, committed.position.revision);
    assert_eq!(snapshot.position.revision, pair.revision + 1);
    assert_eq!(snapshot.position.cluster, committed.position.cluster);
}

#[tokio::test]
async fn a_prefix_of_thousands_of_keys_is_read_whole() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    fill(&client, "/many/", 2500, b"x", 128).await;
    let found = all(&client, "/many/").await;
    assert_eq!(found.len(), 2500);
    assert!(found.is_sorted() && found.iter().all(|(_, value)| value == "x"));
}

#[tokio::test]
async fn a_revision_of_the_past_is_read_as_it_was() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let first = commit(&client, &put("/a", "old")).await.position.revision;
    commit(&client, &put("/a", "new")).await;
    commit(&client, &put("/b", "new")).await;
    let before = soon("a range", client.range(b"/", Some(first)))
        .await
        .unwrap();
    assert_eq!(before.position.revision, first);
    let values: Vec<_> = before.pairs.into_iter().map(|pair| pair.value).collect();
    assert_eq!(values, [b"old"]);
    assert_eq!(all(&client, "").await.len(), 2, "the empty prefix has all");
}

#[tokio::test]
async fn fewer_keys_are_asked_for_at_once_where_an_answer_would_be_too_large() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let mut settings = cluster.settings();
    settings.bounds.answer = 200_000;
    let client = Client::new(settings).unwrap();
    fill(&client, "/large/", 12, &[7; 60_000], 4).await;
    let snapshot = soon("a range", client.range(b"/large/", None)).await;
    assert_eq!(snapshot.unwrap().pairs.len(), 12);
}

#[tokio::test]
async fn a_prefix_that_is_too_large_is_an_error() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let mut settings = cluster.settings();
    settings.bounds.prefix = 100_000;
    let client = Client::new(settings).unwrap();
    fill(&client, "/large/", 4, &[7; 30_000], 4).await;
    let error = soon("a range", client.range(b"/large/", None)).await;
    assert_eq!(error.unwrap_err().cause, Cause::AnswerTooLarge);
}

#[tokio::test]
async fn a_big_prefix_is_read_as_of_one_revision_while_it_changes() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    fill(&client, "/many/", 1500, b"0", 128).await;
    let writer = client.clone();
    // The first key and the last one always have the same value.
    let writing = tokio::spawn(async move {
        for number in 1_u32.. {
            let both = ["/many/00000", "/many/01499"];
            let puts = both.map(|key| put(key, number.to_string()).puts).concat();
            commit(
                &writer,
                &Txn {
                    puts,
                    ..Txn::default()
                },
            )
            .await;
        }
    });
    for _ in 0..20 {
        let found = all(&client, "/many/").await;
        assert_eq!((found.len(), &found[0].1), (1500, &found[1499].1));
    }
    writing.abort();
}
