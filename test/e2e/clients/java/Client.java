// The Java SDK's client in the scenario of test/e2e/clients/scenario.ts. The SDK has no OAuth client: the log-in stands in Login, behind the SDK's own
// customizer of requests and its handler of 401 and 403.

import io.modelcontextprotocol.client.McpClient;
import io.modelcontextprotocol.client.McpSyncClient;
import io.modelcontextprotocol.client.transport.HttpClientStreamableHttpTransport;
import io.modelcontextprotocol.client.transport.customizer.McpHttpClientTransportAuthorizationErrorHandler;
import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.json.TypeRef;
import io.modelcontextprotocol.spec.McpSchema.CallToolRequest;
import io.modelcontextprotocol.spec.McpSchema.TextContent;
import java.io.InputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpResponse.ResponseInfo;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
  private final URI endpoint;
  private final Login login;
  private final SSLContext tls;
  private final BlockingQueue<Double> progress = new LinkedBlockingQueue<>();
  private McpSyncClient session;

  public static void main(String[] args) throws Exception {
    new Client(args[0], args[1], args[2]).run(args[3].split(","));
    System.exit(0);
  }

  Client(String endpoint, String caFile, String control) throws Exception {
    this.endpoint = URI.create(endpoint);
    this.tls = trusting(caFile);
    this.login = new Login(endpoint, control, HttpClient.newBuilder().sslContext(tls).build());
  }

  void run(String[] refusals) throws Exception {
    login.begin("log-in");
    connect();
    say("log-in");

    login.begin("list");
    say("list", session.listTools().tools().stream().map(tool -> tool.name()).collect(Collectors.joining(" ")));
    login.begin("call");
    say("call", call("test_simple_text", Map.of()));
    login.begin("step-up");
    say("step-up", call("test_tool_with_progress", Map.of()));

    login.begin("stream");
    progress.clear();
    call("test_tool_with_progress", Map.of());
    List<String> seen = new ArrayList<>();
    while (seen.size() < 3) seen.add(String.valueOf(progress.take().intValue()));
    say("stream", String.join(" ", seen));

    for (String refusal : refusals) {
      login.begin(refusal);
      String outcome = refused(refusal);
      login.begin("after");
      say(refusal, outcome, goOn());
    }
    session.closeGracefully();
  }

  /** Makes the call that is to be refused, and tells how it ended. */
  String refused(String refusal) {
    try {
      switch (refusal) {
        case "denied", "403" -> call("test_sampling", Map.of("prompt", "p"));
        case "413" -> call("test_simple_text", Map.of("padding", "x".repeat(100_000)));
        default -> call("test_simple_text", Map.of());
      }
      return "ok";
    } catch (Exception error) {
      boolean hangs = error.getCause() instanceof TimeoutException;
      return hangs ? "hangs" : String.valueOf(error.getMessage()).replaceAll("\\s+", " ");
    }
  }

  /** Calls again, in a new session where the old one is over. */
  String goOn() {
    try {
      call("test_simple_text", Map.of());
      return "same";
    } catch (Exception over) {
      session.close();
      connect();
      call("test_simple_text", Map.of());
      return "new";
    }
  }

  void connect() {
    var transport = HttpClientStreamableHttpTransport.builder(endpoint.resolve("/").toString())
        .endpoint(endpoint.getPath())
        .customizeClient(client -> client.sslContext(tls))
        .httpRequestCustomizer((request, method, uri, body, context) -> login.authorize(request))
        .authorizationErrorHandler(
            McpHttpClientTransportAuthorizationErrorHandler.fromSync((request, response, context) -> login.answer(response)))
        .build();
    session = McpClient.sync(transport)
        .requestTimeout(Duration.ofSeconds(10))
        .progressConsumer(notification -> progress.add(notification.progress()))
        .build();
    session.initialize();
  }

  String call(String tool, Map<String, Object> args) {
    var request = CallToolRequest.builder().name(tool).arguments(args).progressToken(tool).build();
    return ((TextContent) session.callTool(request).content().get(0)).text();
  }

  static void say(String... fields) {
    System.out.println(String.join("\t", fields));
  }

  static SSLContext trusting(String caFile) throws Exception {
    KeyStore authorities = KeyStore.getInstance(KeyStore.getDefaultType());
    authorities.load(null);
    try (InputStream file = Files.newInputStream(Path.of(caFile))) {
      authorities.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(authorities);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    return context;
  }
}

/** The authorization code grant with PKCE by hand: challenge, discovery, registration, approval, token. */
class Login {
  private static final String CALLBACK = "http://localhost:33418/callback";

  private final String endpoint;
  private final String control;
  private final HttpClient http;
  private final TreeSet<String> scopes = new TreeSet<>();
  private String clientId;
  private volatile String token;

  Login(String endpoint, String control, HttpClient http) {
    this.endpoint = endpoint;
    this.control = control;
    this.http = http;
  }

  void authorize(HttpRequest.Builder request) {
    if (token != null) request.setHeader("Authorization", "Bearer " + token);
  }

  /** True where the request is to be sent again. */
  synchronized boolean answer(ResponseInfo response) {
    String challenge = response.headers().firstValue("WWW-Authenticate").orElse("");
    if (response.statusCode() == 403 && !challenge.contains("insufficient_scope")) return false;
    try {
      scopes.addAll(List.of(parameter(challenge, "scope").split(" ")));
      logIn(parameter(challenge, "resource_metadata"));
      return true;
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  }

  private void logIn(String metadata) throws Exception {
    String issuer = ((List<?>) json(get(metadata)).get("authorization_servers")).get(0).toString();
    Map<String, Object> server = json(get(issuer + "/.well-known/oauth-authorization-server"));
    if (clientId == null) clientId = register(server.get("registration_endpoint").toString());
    byte[] random = new byte[32];
    new SecureRandom().nextBytes(random);
    String verifier = base64(random);
    String digest = base64(MessageDigest.getInstance("SHA-256").digest(verifier.getBytes(StandardCharsets.US_ASCII)));
    String page = server.get("authorization_endpoint") + "?" + form(Map.of(
        "response_type", "code", "client_id", clientId, "redirect_uri", CALLBACK, "resource", endpoint,
        "scope", String.join(" ", scopes), "code_challenge", digest, "code_challenge_method", "S256"));
    String back = get(control + "/browser?" + form(Map.of("url", page)));
    String code = parameter(back.replace('?', '&') + "&", "code");
    String grant = form(Map.of("grant_type", "authorization_code", "client_id", clientId, "redirect_uri", CALLBACK,
        "resource", endpoint, "code", code, "code_verifier", verifier));
    Map<String, Object> tokens = json(post(server.get("token_endpoint").toString(), "application/x-www-form-urlencoded", grant));
    token = tokens.get("access_token").toString();
  }

  private String register(String registration) throws Exception {
    String metadata = "{\"client_name\":\"Java\",\"redirect_uris\":[\"" + CALLBACK + "\"],\"token_endpoint_auth_method\":\"none\"}";
    return json(post(registration, "application/json", metadata)).get("client_id").toString();
  }

  /** Announces a step. */
  void begin(String step) throws Exception {
    get(control + "/step/" + step);
  }

  private String get(String url) throws Exception {
    return send(HttpRequest.newBuilder(URI.create(url)));
  }

  private String post(String url, String type, String body) throws Exception {
    return send(HttpRequest.newBuilder(URI.create(url)).header("Content-Type", type).POST(BodyPublishers.ofString(body)));
  }

  private String send(HttpRequest.Builder request) throws Exception {
    var response = http.send(request.build(), BodyHandlers.ofString());
    if (response.statusCode() >= 300) throw new IllegalStateException(response + " " + response.body());
    return response.body();
  }

  private static Map<String, Object> json(String text) throws Exception {
    return McpJsonDefaults.getMapper().readValue(text, new TypeRef<Map<String, Object>>() {});
  }

  private static String form(Map<String, String> fields) {
    return fields.entrySet().stream()
        .map(field -> field.getKey() + "=" + URLEncoder.encode(field.getValue(), StandardCharsets.UTF_8))
        .collect(Collectors.joining("&"));
  }

  /** Of a challenge, in quotes, or of a query. */
  private static String parameter(String text, String name) {
    Matcher found = Pattern.compile("[ ,&]" + name + "=\"?([^\"&]*)[\"&]").matcher(text);
    if (!found.find()) throw new IllegalStateException("no " + name + " in " + text);
    return found.group(1);
  }

  private static String base64(byte[] bytes) {
    return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
  }
}
