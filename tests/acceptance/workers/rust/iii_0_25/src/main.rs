//! The acceptance worker for the `register_worker(url)` API (crate iii-sdk 0.25); see ../../../README.md.
//!
//! It uses the classic trigger calls, which 0.25 still has and which every engine serves.
#![allow(deprecated)]

use std::collections::HashMap;
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use iii_sdk::channel::{ChannelReader, ChannelWriter, StreamChannelRef};
use iii_sdk::errors::Error;
use iii_sdk::helpers::create_channel;
use iii_sdk::protocol::{RegisterTriggerInput, TriggerRequest};
use iii_sdk::runtime::{FunctionRef, WorkerMetadata};
use iii_sdk::trigger::{Trigger, TriggerConfig, TriggerHandler};
use iii_sdk::{
    IIIClient, InitOptions, RegisterFunction, RegisterTriggerType, TriggerAction, register_worker,
};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Default)]
struct Memory {
    notes: Mutex<Vec<Value>>,
    works: Mutex<Vec<Value>>,
    registered: Mutex<HashMap<String, FunctionRef>>,
    routes: Mutex<HashMap<String, Trigger>>,
    triggers: Mutex<HashMap<String, Trigger>>,
    bells: Mutex<HashMap<String, Value>>,
}

struct BellProvider(Arc<Memory>);

#[async_trait]
impl TriggerHandler for BellProvider {
    async fn register_trigger(&self, trigger: TriggerConfig) -> Result<(), Error> {
        if trigger.config.get("refuse").is_some() {
            return Err(Error::Handler("this bell is not for sale".into()));
        }
        let bell = json!({
            "id": trigger.id,
            "function_id": trigger.function_id,
            "config": trigger.config,
        });
        self.0.bells.lock().unwrap().insert(trigger.id, bell);
        Ok(())
    }

    async fn unregister_trigger(&self, trigger: TriggerConfig) -> Result<(), Error> {
        self.0.bells.lock().unwrap().remove(&trigger.id);
        Ok(())
    }
}

fn text(data: &Value, key: &str) -> String {
    data[key].as_str().unwrap_or_default().to_string()
}

/// What the byte at each place of a body is, whoever writes it.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place % 251) as u8).collect()
}

fn channel_ref(value: &Value) -> Result<StreamChannelRef, Error> {
    serde_json::from_value(value.clone()).map_err(|error| Error::Handler(error.to_string()))
}

async fn call(iii: &IIIClient, function_id: String, payload: Value) -> Result<Value, Error> {
    iii.trigger(TriggerRequest::new(function_id, payload)).await
}

fn outcome(answer: Result<Value, Error>) -> Value {
    match answer {
        Ok(result) => json!({ "result": result }),
        Err(Error::Remote { code, message, .. }) => {
            json!({ "error": { "code": code, "message": message } })
        }
        Err(error) => json!({ "error": { "code": null, "message": error.to_string() } }),
    }
}

/// Registers `SERVICE::name` with a handler that gets the input, the client and the memory.
macro_rules! function {
    ($iii:ident, $memory:ident, $service:ident, $name:literal, |$data:ident| $body:expr) => {{
        let (iii, memory, service) = ($iii.clone(), $memory.clone(), $service.clone());
        let handler = move |$data: Value| {
            #[allow(unused_variables)]
            let ($iii, $memory, $service) = (iii.clone(), memory.clone(), service.clone());
            async move { $body }
        };
        let function_id = format!("{}::{}", $service, $name);
        $iii.register_function(function_id, RegisterFunction::new_async(handler));
    }};
}

fn register(iii: &IIIClient, memory: &Arc<Memory>, service: &String) -> Result<(), Error> {
    function!(iii, memory, service, "echo", |data| Ok(data));
    function!(iii, memory, service, "add", |data| Ok(json!(
        data["a"].as_i64().unwrap_or(0) + data["b"].as_i64().unwrap_or(0)
    )));
    function!(iii, memory, service, "fail", |_data| Err::<Value, _>(
        Error::Handler("told to fail".into())
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
            Some(text) => Err(Error::Handler(text.into())),
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
        let answer = call(&iii, text(&data, "function_id"), data["data"].clone()).await?;
        Ok(json!(answer.as_str().unwrap_or_default().len()))
    });
    function!(iii, memory, service, "call", |data| {
        let request = TriggerRequest {
            timeout_ms: data["timeout_ms"].as_u64(),
            ..TriggerRequest::new(text(&data, "function_id"), data["data"].clone())
        };
        Ok(outcome(iii.trigger(request).await))
    });
    function!(iii, memory, service, "call_void", |data| {
        let request = TriggerRequest {
            action: Some(TriggerAction::Void),
            ..TriggerRequest::new(text(&data, "function_id"), data["data"].clone())
        };
        iii.trigger(request).await
    });
    function!(iii, memory, service, "enqueue", |data| {
        let action = TriggerAction::Enqueue {
            queue: text(&data, "queue"),
        };
        let request = TriggerRequest {
            action: Some(action),
            ..TriggerRequest::new(text(&data, "function_id"), data["data"].clone())
        };
        iii.trigger(request).await
    });
    function!(iii, memory, service, "call_parallel", |data| {
        let function_id = text(&data, "function_id");
        let items = data["items"].as_array().cloned().unwrap_or_default();
        let calls = items
            .into_iter()
            .map(|item| call(&iii, function_id.clone(), item));
        let results: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
        Ok(Value::Array(results?))
    });

    function!(iii, memory, service, "list_functions", |_data| {
        let answer = call(&iii, "engine::functions::list".into(), json!({})).await?;
        let functions = answer["functions"].as_array().cloned().unwrap_or_default();
        let ids = functions.iter().map(|f| f["function_id"].clone());
        Ok(Value::Array(ids.collect()))
    });
    function!(iii, memory, service, "list_workers", |_data| {
        let answer = call(&iii, "engine::workers::list".into(), json!({})).await?;
        let workers = answer["workers"].as_array().cloned().unwrap_or_default();
        let named = workers.iter().map(
            |w| json!({ "name": w["name"], "runtime": w["runtime"], "version": w["version"] }),
        );
        Ok(Value::Array(named.collect()))
    });

    function!(iii, memory, service, "register", |data| {
        let id = text(&data, "id");
        let echo = RegisterFunction::new_async(|data: Value| async move { Ok(data) });
        let function = iii.register_function(id.clone(), echo);
        memory.registered.lock().unwrap().insert(id, function);
        Ok(Value::Null)
    });
    function!(iii, memory, service, "unregister", |data| {
        if let Some(function) = memory.registered.lock().unwrap().remove(&text(&data, "id")) {
            function.unregister();
        }
        Ok(Value::Null)
    });
    function!(iii, memory, service, "open_route", |data| {
        let path = text(&data, "path");
        let config = json!({ "api_path": path, "http_method": "GET" });
        let trigger = iii.register_trigger(RegisterTriggerInput::new(
            "api",
            format!("{service}::get_item"),
            config,
        ))?;
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
        let config = data["config"].clone();
        let trigger = iii.register_trigger(RegisterTriggerInput::new(
            trigger_type,
            function_id.clone(),
            config,
        ))?;
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
        iii.register_trigger_type(RegisterTriggerType::new(
            text(&data, "id"),
            "One more bell",
            BellProvider(memory),
        ));
        Ok(Value::Null)
    });
    function!(iii, memory, service, "bells", |_data| {
        let bells = memory.bells.lock().unwrap();
        Ok(Value::Array(bells.values().cloned().collect()))
    });
    function!(iii, memory, service, "ring", |data| {
        let bells: Vec<_> = memory.bells.lock().unwrap().values().cloned().collect();
        let rung = bells
            .iter()
            .filter(|bell| bell["function_id"] == data["function_id"]);
        let calls = rung.map(|bell| call(&iii, text(bell, "function_id"), data["payload"].clone()));
        let results: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
        Ok(Value::Array(results?))
    });
    function!(iii, memory, service, "open_channel", |_data| {
        let channel = create_channel(&iii, None).await?;
        Ok(json!({ "writer": channel.writer_ref, "reader": channel.reader_ref }))
    });
    function!(iii, memory, service, "write_channel", |data| {
        let writer = ChannelWriter::new(iii.address(), &channel_ref(&data["writer"])?);
        writer.send_message(&text(&data, "message")).await?;
        writer
            .write(&pattern(data["size"].as_u64().unwrap_or(0) as usize))
            .await?;
        writer.close().await?;
        Ok(Value::Null)
    });
    function!(iii, memory, service, "read_channel", |data| {
        let reader = ChannelReader::new(iii.address(), &channel_ref(&data["reader"])?);
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = messages.clone();
        reader
            .on_message(move |message: String| kept.lock().unwrap().push(message))
            .await;
        let bytes = reader.read_all().await?;
        Ok(json!({
            "messages": *messages.lock().unwrap(),
            "size": bytes.len(),
            "is_right": bytes == pattern(bytes.len()),
        }))
    });
    function!(iii, memory, service, "get_item", |data| Ok(json!({
        "status_code": 200,
        "body": { "id": data["path_params"]["id"], "by": service },
    })));

    iii.register_trigger_type(RegisterTriggerType::new(
        format!("{service}::bell"),
        "Rings on demand",
        BellProvider(memory.clone()),
    ));
    iii.register_trigger(RegisterTriggerInput::new(
        "http",
        format!("{service}::get_item"),
        json!({ "api_path": format!("/{service}/items/:id"), "http_method": "GET" }),
    ))?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = env::var("SERVICE")?;
    let metadata = WorkerMetadata {
        name: service.clone(),
        ..WorkerMetadata::default()
    };
    let options = InitOptions {
        metadata: Some(metadata),
        ..InitOptions::default()
    };
    let iii = register_worker(&env::var("III_URL")?, options);
    let memory = Arc::new(Memory::default());
    let mut sigterm = signal(SignalKind::terminate())?;

    register(&iii, &memory, &service)?;
    let request = TriggerRequest {
        timeout_ms: Some(60_000),
        ..TriggerRequest::new(format!("{service}::echo"), json!({}))
    };
    iii.trigger(request).await?;
    println!("ready");
    sigterm.recv().await;
    iii.shutdown();
    Ok(())
}
