//! Settings from every side: file, environment, flags.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ae_title = 'FILE'\nhttp_listen = '127.0.0.1:1'\nallowed_ae = ['A']")
        .unwrap();
    let environment = environment(&[("MEDILINK_AE_TITLE", "ENV"), ("MEDILINK_HTTP_LISTEN", "127.0.0.1:2")]);
    let flags = [("http_listen", "127.0.0.1:3".to_owned())];
    let config = Config::load(Some(file.path()), &environment, &flags).unwrap();
    assert_eq!((config.ae_title.as_str(), config.http_listen.as_str()), ("ENV", "127.0.0.1:3"));
    assert_eq!(config.allowed_ae, ["A"]);
}

#[test]
fn the_seeds_names_are_understood() {
    let environment = environment(&[
        ("CONNECTION_STRING", "postgres://a"),
        ("DICOM_STORAGE_PATH", "/uploads/dicom"),
        ("MAX_FILE_SIZE", "1234"),
    ]);
    let config = Config::load(None, &environment, &[]).unwrap();
    assert_eq!(config.database_url(), "postgres://a");
    assert_eq!((config.archive_url().as_str(), config.upload_bytes), ("/uploads/dicom", 1234));
    assert_eq!(Config::default().instance_bytes, config.instance_bytes, "it binds the upload alone");
}

#[test]
fn a_key_of_a_table_is_set_from_the_file_and_the_environment() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[queues]\nimaging = 3\nemail = 7").unwrap();
    let environment = environment(&[("MEDILINK_QUEUES_IMAGING", "2")]);
    let config = Config::load(Some(file.path()), &environment, &[]).unwrap();
    assert_eq!((config.queues.imaging, config.queues.email), (2, 7));
    assert_eq!(config.queues.report, Queues::default().report);
}

#[test]
fn a_provider_of_messages_is_set_by_its_own_name_or_by_that_of_its_table() {
    let environment = environment(&[
        ("MEDILINK_ZEPTOMAIL_BASE_URL", "https://a.example"),
        ("MEDILINK_CHANNELS_SES_BASE_URL", "https://b.example"),
        ("ZEPTOMAIL_TOKEN", "usual"),
        ("MEDILINK_ZEPTOMAIL_TOKEN", "ours"),
    ]);
    let channels = Config::load(None, &environment, &[]).unwrap().channels;
    assert_eq!(
        (channels.zeptomail_base_url.as_str(), channels.ses_base_url.as_str()),
        ("https://a.example", "https://b.example")
    );
    assert_eq!(channels.zeptomail_token, "ours");
}

#[test]
fn an_unknown_key_is_an_error_wherever_it_stands() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ae_titel = 'X'").unwrap();
    let in_file = Config::load(Some(file.path()), &BTreeMap::new(), &[]).unwrap_err();
    assert!(format!("{in_file:#}").contains("ae_titel"), "{in_file:#}");
    let in_environment = Config::load(None, &environment(&[("MEDILINK_AE_TITEL", "X")]), &[]).unwrap_err();
    assert!(format!("{in_environment:#}").contains("MEDILINK_AE_TITEL"), "{in_environment:#}");
}

#[test]
fn a_token_of_digits_is_a_text() {
    let digits = "12345678901234567890";
    let config = Config::load(None, &environment(&[("MEDILINK_TOKEN", digits)]), &[]).unwrap();
    assert_eq!(config.token, digits);
}

#[test]
fn a_short_token_is_taken_and_known_as_weak_and_a_blank_one_is_none() {
    for (token, is_weak) in
        [("short", true), (" fifteen-letters\n", true), ("sixteen-letters!", false), (" \n", false)]
    {
        let config = Config::load(None, &environment(&[("MEDILINK_TOKEN", token)]), &[]).unwrap();
        assert_eq!((config.token.as_str(), config.has_weak_token()), (token.trim(), is_weak));
    }
}

#[test]
fn the_settings_file_and_what_tests_tell_are_no_settings() {
    let names = environment(&[("MEDILINK_CONFIG", "a.toml"), ("MEDILINK_TEST_S3_URL", "s3://a")]);
    assert_eq!(Config::load(None, &names, &[]).unwrap(), Config::default());
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_its_name() {
    for (name, value) in [
        ("MEDILINK_UPLOAD_BYTES", "ten"),
        ("MEDILINK_BACKEND", "rten"),
        ("MEDILINK_ON_CONFLICT", "overwrite"),
        ("MEDILINK_AE_TITLE", "SEVENTEEN_LETTERS"),
        ("MEDILINK_QUERY_AE", "SEVENTEEN_LETTERS"),
        ("MEDILINK_HTTP_LISTEN", "here"),
        ("MEDILINK_PEERS", "PACS=10.0.0.7"),
        ("MEDILINK_PEERS", "PACS=a:104,PACS=b:104"),
        ("MEDILINK_CONFIGURATION", "x"),
        ("MEDILINK_ALLOWED_ADDRESSES", "10.1.0.0/33"),
        ("MEDILINK_DICOM_TLS_LISTEN", "127.0.0.1:2762"),
        ("MEDILINK_QUEUES_IMAGING", "many"),
        ("MEDILINK_QUEUES_IMAGING", "0"),
        ("MEDILINK_QUEUES_LUNCH", "1"),
        ("MEDILINK_QUEUES", "1"),
        ("MEDILINK_NATS_URL", "http://127.0.0.1"),
        ("MEDILINK_WEBHOOK_TRIES", "0"),
        ("MEDILINK_CLAMD_ADDRESS", "127.0.0.1:3310"),
    ] {
        let refused = Config::load(None, &environment(&[(name, value)]), &[]);
        assert!(refused.is_err(), "{name}={value}");
    }
}
