//! The acceptance worker for the `III::new(url)` API (crate iii-sdk 0.3); see ../../../README.md.

use std::collections::HashMap;
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use iii_sdk::{III, IIIError, Trigger, TriggerConfig, TriggerHandler, WorkerMetadata};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Default)]
struct Memory {
    notes: Mutex<Vec<Value>>,
    works: Mutex<Vec<Value>>,
    routes: Mutex<HashMap<String, Trigger>>,
    triggers: Mutex<HashMap<String, Trigger>>,
    bells: Mutex<HashMap<String, Value>>,
    available: Mutex<Vec<String>>,
}

struct BellProvider(Arc<Memory>);

#[async_trait]
impl TriggerHandler for BellProvider {
    async fn register_trigger(&self, trigger: TriggerConfig) -> Result<(), IIIError> {
        if trigger.config.get("refuse").is_some() {
            return Err(IIIError::Handler("this bell is not for sale".into()));
        }
        let bell = json!({
            "id": trigger.id,
            "function_id": trigger.function_id,
            "config": trigger.config,
        });
        self.0.bells.lock().unwrap().insert(trigger.id, bell);
        Ok(())
    }

    async fn unregister_trigger(&self, trigger: TriggerConfig) -> Result<(), IIIError> {
        self.0.bells.lock().unwrap().remove(&trigger.id);
        Ok(())
    }
}

fn text(data: &Value, key: &str) -> String {
    data[key].as_str().unwrap_or_default().to_string()
}

fn outcome(answer: Result<Value, IIIError>) -> Value {
    match answer {
        Ok(result) => json!({ "result": result }),
        Err(IIIError::Remote { code, message }) => {
            json!({ "error": { "code": code, "message": message } })
        }
        Err(error) => json!({ "error": { "code": null, "message": error.to_string() } }),
    }
}

/// Registers `SERVICE::name` with a handler that gets the input, the client and the memory.
macro_rules! function {
    ($iii:ident, $memory:ident, $service:ident, $name:literal, |$data:ident| $body:expr) => {{
        let (iii, memory, service) = ($iii.clone(), $memory.clone(), $service.clone());
        $iii.register_function(format!("{}::{}", $service, $name), move |$data: Value| {
            #[allow(unused_variables)]
            let ($iii, $memory, $service) = (iii.clone(), memory.clone(), service.clone());
            async move { $body }
        });
    }};
}

fn register(iii: &III, memory: &Arc<Memory>, service: &String) -> Result<(), IIIError> {
    function!(iii, memory, service, "echo", |data| Ok(data));
    function!(iii, memory, service, "add", |data| Ok(json!(
        data["a"].as_i64().unwrap_or(0) + data["b"].as_i64().unwrap_or(0)
    )));
    function!(iii, memory, service, "fail", |_data| Err(
        IIIError::Handler("told to fail".into())
    ));
    function!(iii, memory, service, "nothing", |_data| Ok(Value::Null));
    function!(iii, memory, service, "slow", |data| {
        memory.notes.lock().unwrap().push(json!("slow"));
        tokio::time::sleep(Duration::from_millis(data["ms"].as_u64().unwrap_or(0))).await;
        Ok(json!("done"))
    });
    function!(iii, memory, service, "remember", |data| {
        memory.notes.lock().unwrap().push(data["note"].clone());
        Ok(Value::Null)
    });
    function!(iii, memory, service, "remembered", |_data| {
        Ok(Value::Array(memory.notes.lock().unwrap().clone()))
    });
    function!(iii, memory, service, "work", |data| {
        let mut works = memory.works.lock().unwrap();
        works.push(data.clone());
        let times = works
            .iter()
            .filter(|each| each["note"] == data["note"])
            .count();
        match data["errors"][times - 1].as_str() {
            Some(text) => Err(IIIError::Handler(text.into())),
            None => Ok(Value::Null),
        }
    });
    function!(iii, memory, service, "worked", |_data| {
        Ok(Value::Array(memory.works.lock().unwrap().clone()))
    });
    function!(iii, memory, service, "make", |data| {
        let size = data["size"].as_u64().unwrap_or(0) as usize;
        Ok(Value::String("x".repeat(size)))
    });

    function!(iii, memory, service, "measure", |data| {
        let answer = iii.call(&text(&data, "function_id"), &data["data"]).await?;
        Ok(json!(answer.as_str().unwrap_or_default().len()))
    });
    function!(iii, memory, service, "call", |data| {
        let timeout = Duration::from_millis(data["timeout_ms"].as_u64().unwrap_or(30_000));
        let payload = data["data"].clone();
        let answer = iii
            .call_with_timeout(&text(&data, "function_id"), payload, timeout)
            .await;
        Ok(outcome(answer))
    });
    function!(iii, memory, service, "call_void", |data| {
        iii.call_void(&text(&data, "function_id"), &data["data"])?;
        Ok(Value::Null)
    });
    function!(iii, memory, service, "call_parallel", |data| {
        let function_id = text(&data, "function_id");
        let items = data["items"].as_array().cloned().unwrap_or_default();
        let calls = items.iter().map(|item| iii.call(&function_id, item));
        let results: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
        Ok(Value::Array(results?))
    });

    function!(iii, memory, service, "list_functions", |_data| {
        let functions = iii.list_functions().await?;
        let ids: Vec<_> = functions.into_iter().map(|f| f.function_id).collect();
        Ok(json!(ids))
    });
    function!(iii, memory, service, "list_workers", |_data| {
        let workers = iii.list_workers().await?;
        let named = workers
            .into_iter()
            .map(|w| json!({ "name": w.name, "runtime": w.runtime, "version": w.version }));
        Ok(Value::Array(named.collect()))
    });
    function!(iii, memory, service, "list_triggers", |_data| {
        let triggers = iii.list_triggers().await?;
        let bound = triggers
            .into_iter()
            .map(|t| json!({ "trigger_type": t.trigger_type, "function_id": t.function_id }));
        Ok(Value::Array(bound.collect()))
    });

    function!(iii, memory, service, "register", |data| {
        iii.register_function(text(&data, "id"), |data| async move { Ok(data) });
        Ok(Value::Null)
    });
    function!(iii, memory, service, "open_route", |data| {
        let path = text(&data, "path");
        let config = json!({ "api_path": path, "http_method": "GET" });
        let trigger = iii.register_trigger("api", format!("{service}::get_item"), config)?;
        memory.routes.lock().unwrap().insert(path, trigger);
        Ok(Value::Null)
    });
    function!(iii, memory, service, "close_route", |data| {
        if let Some(trigger) = memory.routes.lock().unwrap().remove(&text(&data, "path")) {
            trigger.unregister();
        }
        Ok(Value::Null)
    });
    function!(iii, memory, service, "bind", |data| {
        let function_id = text(&data, "function_id");
        let trigger_type = text(&data, "trigger_type");
        let trigger = iii.register_trigger(trigger_type, function_id.clone(), &data["config"])?;
        memory.triggers.lock().unwrap().insert(function_id, trigger);
        Ok(Value::Null)
    });
    function!(iii, memory, service, "unbind", |data| {
        let function_id = text(&data, "function_id");
        if let Some(trigger) = memory.triggers.lock().unwrap().remove(&function_id) {
            trigger.unregister();
        }
        Ok(Value::Null)
    });
    function!(iii, memory, service, "offer", |data| {
        iii.register_trigger_type(text(&data, "id"), "One more bell", BellProvider(memory));
        Ok(Value::Null)
    });
    function!(iii, memory, service, "bells", |_data| {
        let bells = memory.bells.lock().unwrap();
        Ok(Value::Array(bells.values().cloned().collect()))
    });
    function!(iii, memory, service, "ring", |data| {
        let bells: Vec<_> = memory.bells.lock().unwrap().values().cloned().collect();
        let function_id = text(&data, "function_id");
        let rung = bells
            .iter()
            .filter(|bell| bell["function_id"] == data["function_id"]);
        let calls = rung.map(|_| iii.call(&function_id, &data["payload"]));
        let results: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
        Ok(Value::Array(results?))
    });
    function!(iii, memory, service, "available", |_data| {
        Ok(json!(*memory.available.lock().unwrap()))
    });
    function!(iii, memory, service, "get_item", |data| Ok(json!({
        "status_code": 200,
        "body": { "id": data["path_params"]["id"], "by": service },
    })));

    iii.register_trigger_type(
        format!("{service}::bell"),
        "Rings on demand",
        BellProvider(memory.clone()),
    );
    iii.register_trigger(
        "http",
        format!("{service}::get_item"),
        json!({ "api_path": format!("/{service}/items/:id"), "http_method": "GET" }),
    )?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = env::var("SERVICE")?;
    let metadata = WorkerMetadata {
        name: service.clone(),
        ..WorkerMetadata::default()
    };
    let iii = III::with_metadata(&env::var("III_URL")?, metadata);
    let memory = Arc::new(Memory::default());
    let mut sigterm = signal(SignalKind::terminate())?;

    register(&iii, &memory, &service)?;
    let kept = memory.clone();
    let _subscription = iii.on_functions_available(move |functions| {
        let ids = functions.into_iter().map(|f| f.function_id);
        *kept.available.lock().unwrap() = ids.collect();
    });
    iii.connect().await?;

    // What is sent before the connection's task runs is lost in this version: ask until it answers.
    let echo = format!("{service}::echo");
    let patience = Duration::from_millis(500);
    while iii
        .call_with_timeout(&echo, json!({}), patience)
        .await
        .is_err()
    {}
    println!("ready");
    sigterm.recv().await;
    iii.shutdown_async().await;
    Ok(())
}
