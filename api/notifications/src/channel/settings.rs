//! What the operator sets: the providers that serve clinics without their own, and where providers are reached.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::parts::Parts;
use super::{Channel, Provider};

/// Settings of the channels; an empty text means that there is none.
///
/// A provider that is set here serves each clinic for which neither its own configuration nor the global one of
/// `PUT /api/v1/communication/config` names one for the channel.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelSettings {
    /// The sender's address of e-mail.
    pub from_email: String,
    /// The sender's name of e-mail.
    pub from_name: String,
    /// Where push services and mailbox owners may reach whoever runs this: `mailto:…` or `https://…`.
    pub contact: String,

    /// The mail server, as `mail.example.org`.
    pub smtp_host: String,
    /// Its port; empty: 587, or 465 with `tls`.
    pub smtp_port: String,
    /// `starttls` (also where it is empty), `tls` from the first byte, or `none`.
    pub smtp_security: String,
    /// Who we are there; empty: the server asks nobody.
    pub smtp_username: String,
    /// The password of `smtp_username`.
    pub smtp_password: String,
    /// The authority (PEM) of mail servers, beside the machine's own.
    pub smtp_authority: String,

    /// ZeptoMail's send-mail token.
    pub zeptomail_token: String,
    /// The key of ZeptoMail's webhooks.
    pub zeptomail_webhook_key: String,
    /// In place of `https://api.zeptomail.com`.
    pub zeptomail_base_url: String,

    /// The key of an AWS user that may send through SES and SNS.
    pub aws_access_key_id: String,
    /// Its secret.
    pub aws_secret_access_key: String,
    /// The region of SES and SNS, as `eu-central-1`.
    pub aws_region: String,
    /// The SNS topic to which SES tells what becomes of mails.
    pub ses_topic_arn: String,
    /// In place of `https://email.REGION.amazonaws.com`.
    pub ses_base_url: String,
    /// In place of `https://sns.REGION.amazonaws.com`.
    pub sns_base_url: String,
    /// Whether `aws_*` carries short messages and pushes by SNS, not only mail by SES: `true` or `false`.
    pub sns_enabled: bool,

    /// Firebase's service account: the JSON of its key file.
    pub fcm_service_account: String,
    /// In place of `https://fcm.googleapis.com`.
    pub fcm_base_url: String,
    /// In place of `https://oauth2.googleapis.com/token`.
    pub fcm_token_url: String,

    /// The access token of WhatsApp's Cloud API.
    pub whatsapp_token: String,
    /// The identifier of the sending number.
    pub whatsapp_phone_number_id: String,
    /// The secret of the application, which signs its webhooks.
    pub whatsapp_app_secret: String,
    /// What the application says when its webhook is set up.
    pub whatsapp_verify_token: String,
    /// In place of `https://graph.facebook.com`.
    pub whatsapp_base_url: String,

    /// Twilio's account.
    pub twilio_account_sid: String,
    /// Its token.
    pub twilio_auth_token: String,
    /// The number or the messaging service (`MG…`) that its messages are from.
    pub twilio_from: String,
    /// In place of `https://api.twilio.com`.
    pub twilio_base_url: String,

    /// The private key of Web Push: 32 bytes as base64url; empty: made at the first start and kept sealed.
    pub vapid_private_key: String,
    /// So many messages a second a clinic sends through one provider; 0: 50.
    pub messages_per_second: u32,
}

/// Most of it is secret: a log that prints it prints no value.
impl fmt::Debug for ChannelSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSettings(…)")
    }
}

/// Whether a provider's settings are there: all of these texts are.
fn all(texts: &[&String]) -> bool {
    texts.iter().all(|text| !text.is_empty())
}

impl ChannelSettings {
    /// Whether they name a provider of a channel.
    pub fn serve(&self, channel: Channel) -> bool {
        !self.serving(channel).is_empty()
    }

    /// The providers of a channel that these settings name, the first to try first.
    pub(crate) fn serving(&self, channel: Channel) -> Vec<(Provider, Parts)> {
        let aws = |more: &[(&str, &String)]| {
            let mut named = vec![
                ("accessKeyId", &self.aws_access_key_id),
                ("secretAccessKey", &self.aws_secret_access_key),
                ("region", &self.aws_region),
            ];
            named.extend_from_slice(more);
            self.parts(&named)
        };
        let has_aws = all(&[&self.aws_access_key_id, &self.aws_secret_access_key, &self.aws_region]);
        let mut found = Vec::new();
        match channel {
            Channel::InApp => {}
            Channel::Email => {
                if all(&[&self.zeptomail_token]) {
                    let named = [
                        ("sendMailToken", &self.zeptomail_token),
                        ("webhookKey", &self.zeptomail_webhook_key),
                    ];
                    found.push((Provider::Zeptomail, self.parts(&named)));
                }
                if has_aws {
                    found.push((Provider::AwsSes, aws(&[("topicArn", &self.ses_topic_arn)])));
                }
                if all(&[&self.smtp_host]) {
                    let named = [
                        ("host", &self.smtp_host),
                        ("port", &self.smtp_port),
                        ("security", &self.smtp_security),
                        ("username", &self.smtp_username),
                        ("password", &self.smtp_password),
                    ];
                    found.push((Provider::Smtp, self.parts(&named)));
                }
            }
            Channel::Sms => {
                if all(&[&self.twilio_account_sid, &self.twilio_auth_token, &self.twilio_from]) {
                    let named = [
                        ("accountSid", &self.twilio_account_sid),
                        ("authToken", &self.twilio_auth_token),
                        ("fromNumber", &self.twilio_from),
                    ];
                    found.push((Provider::Twilio, self.parts(&named)));
                }
                if has_aws && self.sns_enabled {
                    found.push((Provider::AwsSns, aws(&[])));
                }
            }
            Channel::Push => {
                if all(&[&self.fcm_service_account]) {
                    let named = [("serviceAccount", &self.fcm_service_account)];
                    found.push((Provider::FirebaseFcm, self.parts(&named)));
                }
                if has_aws && self.sns_enabled {
                    found.push((Provider::AwsSns, aws(&[])));
                }
            }
            Channel::Whatsapp => {
                if all(&[&self.whatsapp_token, &self.whatsapp_phone_number_id]) {
                    let named = [
                        ("accessToken", &self.whatsapp_token),
                        ("phoneNumberId", &self.whatsapp_phone_number_id),
                        ("appSecret", &self.whatsapp_app_secret),
                        ("verifyToken", &self.whatsapp_verify_token),
                    ];
                    found.push((Provider::MetaBusiness, self.parts(&named)));
                }
            }
        }
        found
    }

    fn parts(&self, named: &[(&str, &String)]) -> Parts {
        let sender = [("fromEmail", &self.from_email), ("fromName", &self.from_name)];
        let given = sender.iter().chain(named).filter(|(_, text)| !text.is_empty());
        Parts::new(
            given.map(|(name, text)| ((*name).to_owned(), (*text).clone())).collect::<BTreeMap<_, _>>(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_serves_when_all_that_it_needs_is_set() {
        let mut settings = ChannelSettings { aws_region: "eu-central-1".into(), ..Default::default() };
        let serving = |settings: &ChannelSettings, channel| {
            settings.serving(channel).into_iter().map(|(provider, _)| provider).collect::<Vec<_>>()
        };
        assert!(Channel::ALL.iter().all(|channel| serving(&settings, *channel).is_empty()));
        settings.aws_access_key_id = "AKID".into();
        settings.aws_secret_access_key = "secret".into();
        settings.smtp_host = "mail.example.org".into();
        assert_eq!(serving(&settings, Channel::Email), [Provider::AwsSes, Provider::Smtp]);
        assert!(serving(&settings, Channel::Sms).is_empty(), "mail alone, unless it is said");
        settings.sns_enabled = true;
        assert_eq!(serving(&settings, Channel::Sms), [Provider::AwsSns]);
        assert!(!format!("{settings:?}").contains("AKID"));
    }
}
