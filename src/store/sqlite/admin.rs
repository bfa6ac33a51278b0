//! Owns the rows that operators make.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::TenantId;
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::json;
use crate::store::sqlite::rows::{broken, get, id, instant, tenant, word};
use crate::store::{ClientRecord, SigningKeyRecord, StoreError, TenantRecord};

/// Reads the file, whatever schema it has.
pub(super) const PING: &str = "SELECT count(*) AS objects FROM sqlite_schema";

pub(super) const INSERT_TENANT: &str = "
    INSERT INTO tenants (id, name, time_zone, base_currency, future_days, payment_limit, loss_account)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (id) DO NOTHING";

pub(super) const UPDATE_TENANT: &str = "
    UPDATE tenants SET name = ?2, time_zone = ?3, base_currency = ?4, future_days = ?5, payment_limit = ?6,
        loss_account = ?7
    WHERE id = ?1";

pub(super) const TENANT: &str =
    "SELECT id, name, time_zone, base_currency, future_days, payment_limit, loss_account FROM tenants WHERE id = ?1";

pub(super) const TENANTS: &str =
    "SELECT id, name, time_zone, base_currency, future_days, payment_limit, loss_account FROM tenants ORDER BY id";

pub(super) const INSERT_CLIENT: &str = "
    INSERT INTO clients (client_id, tenant, secret_hash, scopes, disabled_at)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (client_id) DO NOTHING";

pub(super) const CLIENT: &str =
    "SELECT client_id, tenant, secret_hash, scopes, disabled_at FROM clients WHERE client_id = ?1";

/// Who is out stays so since he was.
pub(super) const UPDATE_CLIENT: &str = "
    UPDATE clients SET disabled_at = CASE WHEN ?3 IS NOT NULL THEN coalesce(disabled_at, ?3) END
    WHERE client_id = ?1 AND tenant = ?2";

/// ?5: whether any key stands in its way.
pub(super) const INSERT_SIGNING_KEY: &str = "
    INSERT INTO signing_keys (kid, private_key, public_key, created_at)
    SELECT ?1, ?2, ?3, ?4 WHERE NOT (?5 AND EXISTS (SELECT 1 FROM signing_keys))";

pub(super) const SIGNING_KEYS: &str =
    "SELECT kid, private_key, public_key, created_at FROM signing_keys ORDER BY created_at DESC, kid";

/// Never the newest, in the order of [`SIGNING_KEYS`].
pub(super) const DELETE_SIGNING_KEY: &str = "
    DELETE FROM signing_keys AS k WHERE k.kid = ?1 AND EXISTS (
        SELECT 1 FROM signing_keys n
        WHERE n.created_at > k.created_at OR (n.created_at = k.created_at AND n.kid < k.kid))";

/// Whether the file answers, and our clock.
pub(super) async fn now(db: &mut SqliteConnection, clock: Clock) -> Result<Timestamp, StoreError> {
    sqlx::query(PING).fetch_one(db).await.map_err(store_error)?;
    Ok(clock.now())
}

/// Makes a tenant; false when its id is taken.
pub(super) async fn create_tenant(db: &mut SqliteConnection, tenant: TenantRecord) -> Result<bool, StoreError> {
    write_tenant(db, INSERT_TENANT, tenant).await
}

/// Changes a tenant's settings; false where there is no such tenant.
pub(super) async fn set_tenant(db: &mut SqliteConnection, tenant: TenantRecord) -> Result<bool, StoreError> {
    write_tenant(db, UPDATE_TENANT, tenant).await
}

async fn write_tenant(
    db: &mut SqliteConnection,
    statement: &'static str,
    tenant: TenantRecord,
) -> Result<bool, StoreError> {
    let query = sqlx::query(statement)
        .bind(tenant.id.0)
        .bind(tenant.name)
        .bind(tenant.time_zone)
        .bind(tenant.base_currency.code().to_owned())
        .bind(tenant.future_days)
        .bind(tenant.payment_limit.map(Minor::units))
        .bind(tenant.loss_account.as_str());
    query.execute(db).await.map(|done| done.rows_affected() == 1).map_err(store_error)
}

/// A tenant's settings.
pub(super) async fn tenant_of_id(
    db: &mut SqliteConnection,
    tenant: TenantId,
) -> Result<Option<TenantRecord>, StoreError> {
    let row = sqlx::query(TENANT).bind(tenant.0).fetch_optional(db).await.map_err(store_error)?;
    row.as_ref().map(decode_tenant).transpose()
}

/// Every tenant, by id.
pub(super) async fn tenants(db: &mut SqliteConnection) -> Result<Vec<TenantRecord>, StoreError> {
    sqlx::query(TENANTS).fetch_all(db).await.map_err(store_error)?.iter().map(decode_tenant).collect()
}

fn decode_tenant(row: &SqliteRow) -> Result<TenantRecord, StoreError> {
    Ok(TenantRecord {
        id: TenantId(id(row, "id")?),
        name: get(row, "name")?,
        time_zone: get(row, "time_zone")?,
        base_currency: word(row, "base_currency")?,
        future_days: get(row, "future_days")?,
        payment_limit: get::<Option<i64>>(row, "payment_limit")?.map(Minor::new),
        loss_account: word(row, "loss_account")?,
    })
}

/// Makes a client; false when its id is taken.
pub(super) async fn create_client(db: &mut SqliteConnection, client: ClientRecord) -> Result<bool, StoreError> {
    let insert = sqlx::query(INSERT_CLIENT)
        .bind(client.client_id)
        .bind(client.tenant.0)
        .bind(client.secret_hash)
        .bind(json(&client.scopes)?)
        .bind(client.disabled_at.map(Timestamp::micros));
    insert.execute(db).await.map(|done| done.rows_affected() == 1).map_err(store_error)
}

/// A client by its id.
pub(super) async fn client(db: &mut SqliteConnection, client_id: String) -> Result<Option<ClientRecord>, StoreError> {
    let row = sqlx::query(CLIENT).bind(client_id).fetch_optional(db).await.map_err(store_error)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let disabled_at: Option<i64> = get(&row, "disabled_at")?;
    Ok(Some(ClientRecord {
        client_id: get(&row, "client_id")?,
        tenant: tenant(&row)?,
        secret_hash: get(&row, "secret_hash")?,
        scopes: serde_json::from_str(get(&row, "scopes")?).map_err(|_| broken("scopes"))?,
        disabled_at: disabled_at.and_then(Timestamp::from_micros),
    }))
}

/// Shuts a client out, or lets it in again; false where the tenant has no such client.
pub(super) async fn set_client_disabled(
    db: &mut SqliteConnection,
    (tenant, client_id): (TenantId, String),
    disabled_at: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let update = sqlx::query(UPDATE_CLIENT).bind(client_id).bind(tenant.0).bind(disabled_at.map(Timestamp::micros));
    update.execute(db).await.map(|done| done.rows_affected() == 1).map_err(store_error)
}

/// Removes a signing key, unless it is the newest; whether it did.
pub(super) async fn remove_signing_key(db: &mut SqliteConnection, kid: String) -> Result<bool, StoreError> {
    let delete = sqlx::query(DELETE_SIGNING_KEY).bind(kid);
    delete.execute(db).await.map(|done| done.rows_affected() == 1).map_err(store_error)
}

/// Adds a signing key.
pub(super) async fn add_signing_key(
    db: &mut SqliteConnection,
    key: SigningKeyRecord,
    only_if_none: bool,
) -> Result<(), StoreError> {
    let insert = sqlx::query(INSERT_SIGNING_KEY).bind(key.kid).bind(key.private_key).bind(key.public_key);
    insert.bind(key.created_at.micros()).bind(only_if_none).execute(db).await.map_err(store_error)?;
    Ok(())
}

/// Signing keys, newest first.
pub(super) async fn signing_keys(db: &mut SqliteConnection) -> Result<Vec<SigningKeyRecord>, StoreError> {
    let rows = sqlx::query(SIGNING_KEYS).fetch_all(db).await.map_err(store_error)?;
    let decode = |row: &SqliteRow| {
        Ok(SigningKeyRecord {
            kid: get(row, "kid")?,
            private_key: get(row, "private_key")?,
            public_key: get(row, "public_key")?,
            created_at: instant(row, "created_at")?,
        })
    };
    rows.iter().map(decode).collect()
}
