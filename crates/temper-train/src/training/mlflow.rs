//! Runs in MLflow, through its REST interface (MLflow 3, `api/2.0/mlflow`).

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::blocking::{Client, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tracked::{RunParameters, RunStatus};
use crate::TrainError;

/// The file in a run's folder that says which run of MLflow it is; a resumed run reads it.
const RECORD: &str = "mlflow.json";
/// What MLflow takes in one request.
const MOST_PARAMETERS: usize = 100;
/// Characters of a parameter's value that MLflow keeps.
const LONGEST_VALUE: usize = 6000;
/// A server that does not answer must not hold up training for longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A run in MLflow.
pub(super) struct MlflowRun {
    server: Server,
    id: String,
}

#[derive(Serialize, Deserialize)]
struct MlflowRecord {
    address: String,
    run_id: String,
}

impl MlflowRun {
    /// Begins a run on the server that `MLFLOW_TRACKING_URI` names, in the experiment `MLFLOW_EXPERIMENT_NAME`
    /// (`Default` without it), or continues the one that the folder records.
    ///
    /// # Errors
    /// [`TrainError::Usage`] without an address; [`TrainError::Tracking`].
    pub(super) fn begin(folder: &Path, parameters: &RunParameters) -> Result<Self, TrainError> {
        if let Some(run) = Self::recorded(folder)? {
            run.server.post("runs/update", json!({"run_id": run.id, "status": "RUNNING"}))?;
            return Ok(run);
        }
        let address = variable("MLFLOW_TRACKING_URI").ok_or_else(|| {
            TrainError::Usage(
                "--report-to mlflow needs MLFLOW_TRACKING_URI, the address of a server such as http://localhost:5000"
                    .into(),
            )
        })?;
        let server = Server::at(&address)?;
        let experiment =
            server.experiment(&variable("MLFLOW_EXPERIMENT_NAME").unwrap_or("Default".into()))?;
        let created = server.post(
            "runs/create",
            json!({
                "experiment_id": experiment,
                "run_name": parameters.name,
                "start_time": now(),
                "tags": [{"key": "temper.version", "value": env!("CARGO_PKG_VERSION")}],
            }),
        )?;
        let id = created.pointer("/run/info/run_id").and_then(Value::as_str);
        let id = id.ok_or_else(|| server.failed("it made no run"))?.to_owned();
        for chunk in parameters.values.chunks(MOST_PARAMETERS) {
            let written = |(key, value): &(String, String)| json!({"key": key, "value": value.chars().take(LONGEST_VALUE).collect::<String>()});
            let params: Vec<Value> = chunk.iter().map(written).collect();
            server.post("runs/log-batch", json!({"run_id": id, "params": params}))?;
        }
        let record = MlflowRecord { address, run_id: id.clone() };
        let text = serde_json::to_string_pretty(&record).unwrap_or_default() + "\n";
        temper_files::write(&folder.join(RECORD), text.as_bytes())?;
        Ok(Self { server, id })
    }

    /// The run that a folder records, if it does.
    fn recorded(folder: &Path) -> Result<Option<Self>, TrainError> {
        let path = folder.join(RECORD);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        let MlflowRecord { address, run_id } =
            serde_json::from_str(&text).map_err(|error| TrainError::content(&path, error))?;
        Ok(Some(Self { server: Server::at(&address)?, id: run_id }))
    }

    /// Logs numbers after a step; JSON has no NaN, and such numbers are left out.
    ///
    /// # Errors
    /// [`TrainError::Tracking`].
    pub(super) fn log(&self, step: usize, scalars: &[(String, f64)]) -> Result<(), TrainError> {
        let (time, finite) = (now(), scalars.iter().filter(|(_, value)| value.is_finite()));
        let metrics: Vec<Value> = finite
            .map(|(key, value)| json!({"key": key, "value": value, "timestamp": time, "step": step}))
            .collect();
        self.server.post("runs/log-batch", json!({"run_id": self.id, "metrics": metrics})).map(drop)
    }
}

/// Tells MLflow how the run of a folder ended, with its last numbers; nothing where it is not in MLflow.
///
/// # Errors
/// [`TrainError::Tracking`].
pub fn end_in_mlflow(
    folder: &Path,
    status: RunStatus,
    step: usize,
    scalars: &[(String, f64)],
) -> Result<(), TrainError> {
    let Some(run) = MlflowRun::recorded(folder)? else { return Ok(()) };
    if !scalars.is_empty() {
        run.log(step, scalars)?;
    }
    let status = match status {
        RunStatus::Finished => "FINISHED",
        RunStatus::Failed => "FAILED",
        RunStatus::Killed => "KILLED",
    };
    run.server.post("runs/update", json!({"run_id": run.id, "status": status, "end_time": now()})).map(drop)
}

/// A server, with what it asks of those who write.
struct Server {
    address: String,
    client: Client,
}

impl Server {
    fn at(address: &str) -> Result<Self, TrainError> {
        let address = address.trim_end_matches('/').to_owned();
        if !address.starts_with("http://") && !address.starts_with("https://") {
            return Err(TrainError::Usage(format!(
                "MLFLOW_TRACKING_URI {address} is no address of a server; start one: mlflow server --backend-store-uri {address}"
            )));
        }
        let client = Client::builder().timeout(TIMEOUT).build();
        let client = client.map_err(|error| tracking(&address, &error.to_string()))?;
        Ok(Self { address, client })
    }

    /// The id of an experiment, which is made where there is none of that name.
    fn experiment(&self, name: &str) -> Result<String, TrainError> {
        let request =
            self.client.get(self.url("experiments/get-by-name")).query(&[("experiment_name", name)]);
        let (status, found) = self.answer(request)?;
        let id = match status {
            200 => found.pointer("/experiment/experiment_id").cloned(),
            404 => self.post("experiments/create", json!({"name": name}))?.get("experiment_id").cloned(),
            _ => return Err(self.failed(&refusal(status, &found))),
        };
        let id = id.as_ref().and_then(Value::as_str);
        Ok(id.ok_or_else(|| self.failed("it names no experiment"))?.to_owned())
    }

    fn post(&self, path: &str, body: Value) -> Result<Value, TrainError> {
        let request = self.client.post(self.url(path)).header("content-type", "application/json");
        match self.answer(request.body(body.to_string()))? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(self.failed(&refusal(status, &answer))),
        }
    }

    /// The answer's status and its JSON, null where it is none.
    fn answer(&self, request: RequestBuilder) -> Result<(u16, Value), TrainError> {
        let request = match (variable("MLFLOW_TRACKING_TOKEN"), variable("MLFLOW_TRACKING_USERNAME")) {
            (Some(token), _) => request.bearer_auth(token),
            (None, Some(user)) => request.basic_auth(user, variable("MLFLOW_TRACKING_PASSWORD")),
            (None, None) => request,
        };
        let failed = |error: reqwest::Error| self.failed(&with_causes(&error));
        let answer = request.send().map_err(failed)?;
        let status = answer.status().as_u16();
        let text = answer.text().map_err(failed)?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/2.0/mlflow/{path}", self.address)
    }

    fn failed(&self, reason: &str) -> TrainError {
        tracking(&self.address, reason)
    }
}

fn tracking(address: &str, reason: &str) -> TrainError {
    TrainError::Tracking { address: address.into(), reason: reason.into() }
}

fn refusal(status: u16, answer: &Value) -> String {
    let message = answer.get("message").and_then(Value::as_str).unwrap_or("no reason is given");
    format!("status {status}: {message}")
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
