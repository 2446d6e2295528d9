//! Users of etcd: who may what, and tokens that expire.

use culvert::etcd::{Cause, Client, Settings, User};

use crate::harness::{Cluster, all, commit, end_of, eventually, put, soon, values_to};

/// A cluster that wants a user; `culvert` may do everything under `/culvert/`.
async fn guarded() -> Option<Cluster> {
    let cluster = Cluster::with(1, &["--bcrypt-cost=4"]).await?;
    for words in [
        "user add root:root",
        "user grant-role root root",
        "role add edge",
        "role grant-permission edge readwrite --prefix=true /culvert/",
        "user add culvert:secret",
        "user grant-role culvert edge",
        "auth enable",
    ] {
        let words: Vec<_> = words.split(' ').collect();
        cluster.ctl(&words);
    }
    Some(cluster)
}

fn settings(cluster: &Cluster, password: &str) -> Settings {
    settings_of(cluster, "culvert", password)
}

fn settings_of(cluster: &Cluster, name: &str, password: &str) -> Settings {
    let (name, password) = (name.into(), password.into());
    Settings {
        user: Some(User { name, password }),
        ..cluster.settings()
    }
}

#[tokio::test]
async fn a_user_does_what_it_may_and_nothing_else() {
    let Some(cluster) = guarded().await else {
        return;
    };
    let client = Client::new(settings(&cluster, "secret")).unwrap();
    let after = commit(&client, &put("/culvert/a", "1")).await.position;
    assert_eq!(all(&client, "/culvert/").await.len(), 1);
    let mut watch = client.watch(b"/culvert/", after);
    commit(&client, &put("/culvert/a", "2")).await;
    assert_eq!(values_to(&mut watch, "2").await, ["2"]);
    let read = client.range(b"/other/", None).await.unwrap_err();
    let written = client.txn(&put("/other/a", "1")).await.unwrap_err();
    let watched = end_of(&mut client.watch(b"/other/", after)).await;
    for error in [read, written, watched] {
        assert_eq!(error.cause, Cause::PermissionDenied);
    }
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_renewed() {
    let Some(mut cluster) = guarded().await else {
        return;
    };
    let client = Client::new(settings(&cluster, "secret")).unwrap();
    let after = commit(&client, &put("/culvert/a", "1")).await.position;
    let mut watch = client.watch(b"/culvert/", after);
    // All tokens go with it.
    cluster.ctl(&["--user", "root:root", "auth", "disable"]);
    cluster.ctl(&["auth", "enable"]);
    commit(&client, &put("/culvert/a", "2")).await;
    assert_eq!(values_to(&mut watch, "2").await, ["2"]);
    cluster.ctl(&["--user", "root:root", "auth", "disable"]);
    cluster.ctl(&["auth", "enable"]);
    cluster.kill(0);
    cluster.run(0);
    // A watch that is begun anew needs another one too.
    let root = Client::new(settings_of(&cluster, "root", "root")).unwrap();
    let written = async || root.txn(&put("/culvert/a", "3")).await.ok();
    eventually("a commit", written).await;
    assert_eq!(values_to(&mut watch, "3").await, ["3"]);
}

#[tokio::test]
async fn a_wrong_password_no_user_and_a_needless_one_are_told_apart() {
    let Some(cluster) = guarded().await else {
        return;
    };
    let Some(open) = Cluster::start(1).await else {
        return;
    };
    for (settings, expected) in [
        (settings(&cluster, "wrong"), Cause::Credentials),
        (cluster.settings(), Cause::AuthEnabled),
        (settings(&open, "secret"), Cause::AuthDisabled),
    ] {
        let client = Client::new(settings).unwrap();
        let read = soon("an answer", client.range(b"/culvert/", None)).await;
        let written = soon("an answer", client.txn(&put("/culvert/a", "1"))).await;
        assert_eq!(read.unwrap_err().cause, expected);
        assert_eq!(written.unwrap_err().cause, expected);
    }
}
