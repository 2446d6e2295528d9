//! etcd that has no space left: it is read, and not written.

use culvert::etcd::{Cause, Outcome};

use crate::harness::{Cluster, all, commit, eventually, put};

#[tokio::test]
async fn where_the_space_is_used_up_writes_say_so_and_reads_go_on() {
    let Some(cluster) = Cluster::with(1, &["--quota-backend-bytes=4000000"]).await else {
        return;
    };
    let client = cluster.client();
    commit(&client, &put("/a", "1")).await;
    let fill = async || client.txn(&put("/fill", vec![b'x'; 400_000])).await.err();
    let error = eventually("it is full", fill).await;
    assert_eq!(
        (error.cause, error.outcome),
        (Cause::NoSpace, Outcome::NotDone)
    );
    let error = client.txn(&put("/a", "2")).await.unwrap_err();
    assert_eq!(
        (error.cause, error.outcome),
        (Cause::NoSpace, Outcome::NotDone)
    );
    assert_eq!(all(&client, "/a").await[0].1, "1");
    let last = client.range(b"/a", None).await.unwrap().position.revision;
    cluster.compact(last);
    cluster.ctl(&["defrag"]);
    cluster.ctl(&["alarm", "disarm"]);
    commit(&client, &put("/a", "3")).await;
}
