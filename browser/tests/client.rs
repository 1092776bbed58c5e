use serde_json::Value;
use tower_longpoll_browser::Browser;

#[tokio::test]
async fn smoke() {
    let browser = Browser::start().await;
    let tab = browser.tab("about:blank").await;
    println!(
        "{}",
        tab.run("return navigator.userAgent + ' ' + document.visibilityState", Value::Null).await
    );
    let two = browser.tab("about:blank").await;
    println!("{}", tab.run("return document.visibilityState", Value::Null).await);
    println!("{}", two.run("return document.visibilityState", Value::Null).await);
    tab.freeze(true).await;
    println!("{}", two.run("return document.visibilityState", Value::Null).await);
    tab.freeze(false).await;
    println!("{}", tab.run("return document.visibilityState", Value::Null).await);
    println!("{:?}", tab.screenshot("x").await);
    println!(
        "{}",
        std::process::Command::new("sh")
            .args(["-c", "ps -ef | grep -c 'longpoll-[b]rowser'"])
            .output()
            .map(|o| String::from_utf8(o.stdout).unwrap())
            .unwrap()
    );
}
