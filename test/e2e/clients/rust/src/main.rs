//! The Rust SDK's client in the scenario of test/e2e/clients/scenario.ts.

use std::{env, error::Error, fs, time::Duration};

use rmcp::{
    ClientHandler, RoleClient,
    model::{CallToolRequestParams, ProgressNotificationParam, ProtocolVersion},
    service::{
        ClientLifecycleMode, ClientServiceExt, NotificationContext, RunningService, ServiceError,
    },
    transport::{
        StreamableHttpClientTransport,
        auth::{
            AuthClient, AuthorizationCallback, AuthorizationRequest, OAuthState,
            WWWAuthenticateParams,
        },
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Fallible<T> = Result<T, Box<dyn Error>>;
type Session = RunningService<RoleClient, Progress>;

const CALLBACK: &str = "http://localhost:33418/callback";

/// Hands on what the server reports.
#[derive(Clone)]
struct Progress(UnboundedSender<f64>);

impl ClientHandler for Progress {
    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let _ = self.0.send(params.progress);
    }
}

struct Scenario {
    endpoint: String,
    control: String,
    http: reqwest::Client,
    progress: Progress,
    login: Option<AuthClient<reqwest::Client>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    let args: Vec<String> = env::args().collect();
    let authority = reqwest::Certificate::from_pem(&fs::read(&args[2])?)?;
    let (sender, progress) = unbounded_channel();
    let mut scenario = Scenario {
        endpoint: args[1].clone(),
        control: args[3].clone(),
        http: reqwest::Client::builder()
            .tls_certs_merge([authority])
            .build()?,
        progress: Progress(sender),
        login: None,
    };
    scenario.run(progress, args[4].split(',')).await
}

impl Scenario {
    async fn run<'a>(
        &mut self,
        mut progress: UnboundedReceiver<f64>,
        refusals: impl Iterator<Item = &'a str>,
    ) -> Fallible<()> {
        self.begin("log-in").await?;
        let mut session = self.connect().await?;
        println!("log-in");

        self.begin("list").await?;
        let tools = session.list_all_tools().await?;
        println!(
            "list\t{}",
            tools
                .iter()
                .map(|tool| tool.name.as_ref())
                .collect::<Vec<_>>()
                .join(" ")
        );

        self.begin("call").await?;
        println!(
            "call\t{}",
            self.call(&session, "test_simple_text", json!({})).await?
        );
        self.begin("step-up").await?;
        println!(
            "step-up\t{}",
            self.call(&session, "test_tool_with_progress", json!({}))
                .await?
        );

        self.begin("stream").await?;
        while progress.try_recv().is_ok() {}
        self.call(&session, "test_tool_with_progress", json!({}))
            .await?;
        let mut seen = vec![];
        while seen.len() < 3 {
            seen.push(progress.recv().await.ok_or("no progress")?.to_string());
        }
        println!("stream\t{}", seen.join(" "));

        for refusal in refusals {
            self.begin(refusal).await?;
            let outcome = self.refused(&session, refusal).await;
            self.begin("after").await?;
            let same = self
                .call(&session, "test_simple_text", json!({}))
                .await
                .is_ok();
            if !same {
                session = self.connect().await?;
                self.call(&session, "test_simple_text", json!({})).await?;
            }
            println!(
                "{refusal}\t{outcome}\t{}",
                if same { "same" } else { "new" }
            );
        }
        session.cancel().await?;
        Ok(())
    }

    /// Makes the call that is to be refused, and tells how it ended.
    async fn refused(&self, session: &Session, refusal: &str) -> String {
        let (tool, arguments) = match refusal {
            "denied" | "403" => ("test_sampling", json!({ "prompt": "p" })),
            "413" => (
                "test_simple_text",
                json!({ "padding": "x".repeat(100_000) }),
            ),
            _ => ("test_simple_text", json!({})),
        };
        match self.call(session, tool, arguments).await {
            Ok(_) => "ok".into(),
            Err(error) => error.to_string().replace('\n', " "),
        }
    }

    /// Connects as the SDK's example does: without a token first, and with what the challenge leads to.
    async fn connect(&mut self) -> Fallible<Session> {
        if self.login.is_none() {
            let Err(error) = self.serve(self.http.clone()).await else {
                return Err("let in without a token".into());
            };
            let challenge = error.auth_challenge().ok_or("no challenge")?.to_owned();
            let mut oauth = OAuthState::new(&self.endpoint, Some(self.http.clone())).await?;
            let request = AuthorizationRequest::new(CALLBACK)
                .with_client_name("Rust")
                .with_challenge(challenge);
            oauth.start_authorization(request).await?;
            oauth
                .handle_callback_url(&self.browse(&oauth.get_authorization_url().await?).await?)
                .await?;
            let manager = oauth.into_authorization_manager().ok_or("not authorized")?;
            self.login = Some(AuthClient::new(self.http.clone(), manager));
        }
        let login = self.login.clone().ok_or("not logged in")?;
        Ok(self.serve(login).await?)
    }

    async fn serve<C>(&self, http: C) -> Result<Session, rmcp::service::ClientInitializeError>
    where
        C: rmcp::transport::streamable_http_client::StreamableHttpClient + Send + Sync,
    {
        let config = StreamableHttpClientTransportConfig::with_uri(self.endpoint.as_str());
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        let transport = StreamableHttpClientTransport::with_client(http, config);
        self.progress
            .clone()
            .serve_with_lifecycle(transport, lifecycle)
            .await
    }

    /// Calls a tool, once more after the person has agreed to what a challenge asks for.
    async fn call(
        &self,
        session: &Session,
        tool: &'static str,
        arguments: serde_json::Value,
    ) -> Fallible<String> {
        let params = CallToolRequestParams::new(tool)
            .with_arguments(arguments.as_object().cloned().unwrap_or_default());
        let ask =
            || tokio::time::timeout(Duration::from_secs(10), session.call_tool(params.clone()));
        let result = match ask().await.map_err(|_| "hangs")? {
            Err(error) if error.auth_challenge().is_some() => {
                self.authorize(&error).await?;
                ask().await.map_err(|_| "hangs")??
            }
            result => result?,
        };
        let text = result.content.first().and_then(|content| content.as_text());
        Ok(text.ok_or("no text")?.text.clone())
    }

    async fn authorize(&self, error: &ServiceError) -> Fallible<()> {
        let params = WWWAuthenticateParams::parse(
            error.auth_challenge().unwrap_or_default(),
            &self.endpoint.parse()?,
        );
        let manager = self
            .login
            .as_ref()
            .ok_or("not logged in")?
            .auth_manager
            .lock()
            .await;
        let page = if params.is_insufficient_scope() {
            manager
                .request_scope_upgrade(&params.scope.unwrap_or_default())
                .await?
        } else {
            let scopes = manager.get_current_scopes().await;
            manager
                .get_authorization_url(&scopes.iter().map(String::as_str).collect::<Vec<_>>())
                .await?
        };
        let back = AuthorizationCallback::from_redirect_url(&self.browse(&page).await?)?;
        manager
            .exchange_code_for_token_with_issuer(
                &back.code,
                &back.csrf_token,
                back.issuer.as_deref(),
            )
            .await?;
        Ok(())
    }

    /// Lets the person approve; gives where the browser is sent to.
    async fn browse(&self, page: &str) -> Fallible<String> {
        let mut url: reqwest::Url = format!("{}/browser", self.control).parse()?;
        url.query_pairs_mut().append_pair("url", page);
        self.ask(url).await
    }

    /// Announces a step.
    async fn begin(&self, step: &str) -> Fallible<String> {
        self.ask(format!("{}/step/{step}", self.control).parse()?)
            .await
    }

    async fn ask(&self, url: reqwest::Url) -> Fallible<String> {
        Ok(self
            .http
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?)
    }
}
