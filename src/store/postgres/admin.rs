//! Owns the rows that operators make: tenants, clients, signing keys.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::connect::{PostgresStore, begin, finish};
use super::error::classify;
use super::rows::{Columns, broken};
use crate::core::ids::TenantId;
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::store::{ClientRecord, SigningKeyRecord, StoreError, TenantRecord};

const NOW: &str = "SELECT clock_timestamp()";

const INSERT_TENANT: &str = "INSERT INTO tenants (id, name, time_zone, base_currency, future_days, payment_limit, \
     loss_account) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";

const UPDATE_TENANT: &str = "UPDATE tenants SET name = $2, time_zone = $3, base_currency = $4, future_days = $5, \
     payment_limit = $6, loss_account = $7 WHERE id = $1";

const READ_TENANT: &str =
    "SELECT id, name, time_zone, base_currency, future_days, payment_limit, loss_account FROM tenants WHERE id = $1";

const READ_TENANTS: &str =
    "SELECT id, name, time_zone, base_currency, future_days, payment_limit, loss_account FROM tenants ORDER BY id";

const INSERT_CLIENT: &str = "INSERT INTO clients (client_id, tenant, secret_hash, scopes, disabled_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (client_id) DO NOTHING";

const READ_CLIENT: &str =
    "SELECT client_id, tenant, secret_hash, scopes, disabled_at FROM clients WHERE client_id = $1";

/// Who is out stays so since he was.
const UPDATE_CLIENT: &str = "UPDATE clients SET disabled_at = CASE WHEN $3::timestamptz IS NOT NULL \
     THEN coalesce(disabled_at, $3) END WHERE client_id = $1 AND tenant = $2";

/// Makes racing processes wait for each other, so that the second one sees the first one's key.
const LOCK_SIGNING_KEYS: &str = "LOCK TABLE signing_keys IN EXCLUSIVE MODE";

const INSERT_SIGNING_KEY: &str = "INSERT INTO signing_keys (kid, private_key, public_key, created_at) \
     SELECT $1, $2, $3, $4 WHERE NOT $5 OR NOT EXISTS (SELECT FROM signing_keys)";

const READ_SIGNING_KEYS: &str =
    "SELECT kid, private_key, public_key, created_at FROM signing_keys ORDER BY created_at DESC, kid";

/// Never the newest, in the order of [`READ_SIGNING_KEYS`].
const DELETE_SIGNING_KEY: &str = "DELETE FROM signing_keys k WHERE k.kid = $1 AND EXISTS (SELECT FROM signing_keys n \
     WHERE n.created_at > k.created_at OR (n.created_at = k.created_at AND n.kid < k.kid))";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 12] = [
    ("now", NOW),
    ("insert_tenant", INSERT_TENANT),
    ("update_tenant", UPDATE_TENANT),
    ("read_tenant", READ_TENANT),
    ("read_tenants", READ_TENANTS),
    ("insert_client", INSERT_CLIENT),
    ("read_client", READ_CLIENT),
    ("update_client", UPDATE_CLIENT),
    ("lock_signing_keys", LOCK_SIGNING_KEYS),
    ("insert_signing_key", INSERT_SIGNING_KEY),
    ("read_signing_keys", READ_SIGNING_KEYS),
    ("delete_signing_key", DELETE_SIGNING_KEY),
];

impl PostgresStore {
    pub(super) async fn read_now(&self) -> Result<Timestamp, StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(NOW).fetch_one(&mut *connection).await.map_err(classify)?;
        Columns::of(&row).instant()
    }

    pub(super) async fn insert_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError> {
        self.write_tenant(INSERT_TENANT, tenant).await
    }

    pub(super) async fn update_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError> {
        self.write_tenant(UPDATE_TENANT, tenant).await
    }

    async fn write_tenant(&self, statement: &'static str, tenant: TenantRecord) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(statement)
            .bind(tenant.id.0)
            .bind(tenant.name)
            .bind(tenant.time_zone)
            .bind(tenant.base_currency.code())
            .bind(tenant.future_days)
            .bind(tenant.payment_limit.map(Minor::units))
            .bind(tenant.loss_account.as_str());
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }

    pub(super) async fn read_tenant(&self, id: TenantId) -> Result<Option<TenantRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(READ_TENANT).bind(id.0).fetch_optional(&mut *connection).await.map_err(classify)?;
        row.as_ref().map(tenant).transpose()
    }

    pub(super) async fn read_tenants(&self) -> Result<Vec<TenantRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let rows = sqlx::query(READ_TENANTS).fetch_all(&mut *connection).await.map_err(classify)?;
        rows.iter().map(tenant).collect()
    }

    pub(super) async fn insert_client(&self, client: ClientRecord) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(INSERT_CLIENT)
            .bind(client.client_id)
            .bind(client.tenant.0)
            .bind(client.secret_hash)
            .bind(client.scopes)
            .bind(client.disabled_at.map(Timestamp::utc));
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }

    pub(super) async fn read_client(&self, client_id: String) -> Result<Option<ClientRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(READ_CLIENT).bind(client_id).fetch_optional(&mut *connection).await.map_err(classify)?;
        row.as_ref().map(client).transpose()
    }

    pub(super) async fn update_client(
        &self,
        tenant: TenantId,
        client_id: String,
        disabled_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(UPDATE_CLIENT).bind(client_id).bind(tenant.0).bind(disabled_at.map(Timestamp::utc));
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }

    pub(super) async fn insert_signing_key(&self, key: SigningKeyRecord, only_if_none: bool) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = add_signing_key(&mut transaction, key, only_if_none).await;
        finish(transaction, done).await
    }

    pub(super) async fn read_signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let rows = sqlx::query(READ_SIGNING_KEYS).fetch_all(&mut *connection).await.map_err(classify)?;
        rows.iter().map(signing_key).collect()
    }

    pub(super) async fn delete_signing_key(&self, kid: String) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(DELETE_SIGNING_KEY).bind(kid);
        Ok(query.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1)
    }
}

async fn add_signing_key(
    connection: &mut PgConnection,
    key: SigningKeyRecord,
    only_if_none: bool,
) -> Result<(), StoreError> {
    sqlx::query(LOCK_SIGNING_KEYS).execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(INSERT_SIGNING_KEY)
        .bind(key.kid)
        .bind(key.private_key)
        .bind(key.public_key)
        .bind(key.created_at.utc())
        .bind(only_if_none);
    query.execute(connection).await.map_err(classify)?;
    Ok(())
}

fn tenant(row: &PgRow) -> Result<TenantRecord, StoreError> {
    let mut columns = Columns::of(row);
    let (id, name, time_zone) = (TenantId(columns.take()?), columns.take()?, columns.take()?);
    let currency: &str = columns.take()?;
    Ok(TenantRecord {
        id,
        name,
        time_zone,
        base_currency: currency.parse().map_err(|_| broken("currency", currency))?,
        future_days: columns.take()?,
        payment_limit: columns.take::<Option<i64>>()?.map(Minor::new),
        loss_account: columns.word("loss account")?,
    })
}

fn client(row: &PgRow) -> Result<ClientRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(ClientRecord {
        client_id: columns.take()?,
        tenant: TenantId(columns.take()?),
        secret_hash: columns.take()?,
        scopes: columns.take()?,
        disabled_at: columns.take::<Option<_>>()?.map(Timestamp::new),
    })
}

fn signing_key(row: &PgRow) -> Result<SigningKeyRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(SigningKeyRecord {
        kid: columns.take()?,
        private_key: columns.take()?,
        public_key: columns.take()?,
        created_at: columns.instant()?,
    })
}
