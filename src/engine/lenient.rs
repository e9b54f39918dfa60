//! Answers that hold words which the client library does not know.
//!
//! Its lists of states are closed: one that a newer engine or Podman invents (`stopped`) makes it
//! refuse the whole answer. None of those words matters here, so they are taken out, and the answer
//! is read once more.

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerInspectResponse, ContainerSummary},
    query_parameters::ListContainersOptions,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What the engine says of a container. Its `State.Status` may be missing.
pub(super) async fn inspect(docker: &Docker, id: &str) -> Result<ContainerInspectResponse, Error> {
    let answer = docker.inspect_container(id, None).await;
    answer.or_else(|error| {
        read_again(error, |container| {
            if let Some(state) = container["State"].as_object_mut() {
                state.remove("Status");
            }
        })
    })
}

/// The containers that the engine lists. Their `State` may be missing.
pub(super) async fn list(
    docker: &Docker,
    options: ListContainersOptions,
) -> Result<Vec<ContainerSummary>, Error> {
    let answer = docker.list_containers(Some(options)).await;
    answer.or_else(|error| {
        read_again(error, |containers| {
            for container in containers.as_array_mut().into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("State");
                }
            }
        })
    })
}

/// Reads an answer that was refused after `mend` took out what nobody needs.
fn read_again<T: DeserializeOwned>(error: Error, mend: impl Fn(&mut Value)) -> Result<T, Error> {
    let Error::JsonDataError { contents, .. } = &error else { return Err(error) };
    let Ok(mut value) = serde_json::from_str(contents) else { return Err(error) };
    mend(&mut value);
    serde_json::from_value(value).map_err(|_| error)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use bollard::{API_DEFAULT_VERSION, Docker};

    /// An engine that gives this one answer to everything.
    fn engine(answer: &'static str) -> Docker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                let length = answer.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                let _ = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{answer}");
            }
        });
        Docker::connect_with_http(&url, 10, API_DEFAULT_VERSION).unwrap()
    }

    #[tokio::test]
    async fn a_state_that_nobody_knows_is_passed_over() {
        let one = engine(r#"{"Id":"c0ffee","State":{"Status":"stopped","ExitCode":3}}"#);
        let seen = super::inspect(&one, "c0ffee").await.unwrap();
        assert_eq!(seen.id.as_deref(), Some("c0ffee"));
        assert_eq!(seen.state.unwrap().exit_code, Some(3));
        let all = engine(r#"[{"Id":"a","State":"running"},{"Id":"b","State":"resting"}]"#);
        let listed = super::list(&all, bollard::query_parameters::ListContainersOptions::default());
        let ids: Vec<_> = listed.await.unwrap().into_iter().map(|it| it.id.unwrap()).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[tokio::test]
    async fn nonsense_stays_an_error() {
        for answer in ["no json at all", r#"{"Id":7}"#] {
            assert!(super::inspect(&engine(answer), "x").await.is_err(), "{answer}");
        }
    }
}
