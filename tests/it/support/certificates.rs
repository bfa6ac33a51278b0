//! Certificates of the test's own: authorities, servers on loopback, clients.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hpts::api::TlsSettings;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use sha2::{Digest, Sha256};

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

/// A certificate and its key.
pub(crate) struct Identity {
    der: Vec<u8>,
    key: Vec<u8>,
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::default()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    fn signs(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Identity { der, key: key.serialize_der() }
    }

    /// Of a server on loopback.
    pub(crate) fn server(&self) -> Identity {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.signs(&params)
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.signs(&params)
    }

    /// A client's that was good until 2020.
    pub(crate) fn expired_client(&self, name: &str) -> Identity {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.signs(&params)
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// A client of HTTP that trusts this authority alone, and shows a certificate of its own if it has one.
    pub(crate) fn http(&self, identity: Option<&Identity>) -> reqwest::Client {
        let root = reqwest::Certificate::from_der(&self.der).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([root]).https_only(true).no_proxy();
        let builder = match identity {
            None => builder,
            Some(identity) => builder.identity(reqwest::Identity::from_pem(identity.pem().as_bytes()).unwrap()),
        };
        builder.build().unwrap()
    }
}

impl Identity {
    /// Key and certificate.
    pub(crate) fn pem(&self) -> String {
        format!("{}{}", pem("PRIVATE KEY", &self.key), pem("CERTIFICATE", &self.der))
    }

    /// As tokens name it: `x5t#S256`.
    pub(crate) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.der))
    }

    /// The settings of a listener with this certificate, its files in a folder of their own inside `folder`.
    pub(crate) fn listener(&self, folder: &Path, clients: Option<&Authority>) -> TlsSettings {
        let folder = folder.join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        let file = |name: &str, text: String| -> PathBuf {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsSettings {
            cert: file("server.pem", pem("CERTIFICATE", &self.der)),
            key: file("server-key.pem", pem("PRIVATE KEY", &self.key)),
            client_ca: clients.map(|authority| file("clients.pem", authority.pem())),
        }
    }
}
