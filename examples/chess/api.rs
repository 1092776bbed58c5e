//! The paths, and what they take and give.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{
        DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request, State,
        rejection::BytesRejection,
    },
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{self, AUTHORIZATION},
        request::Parts,
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, util::MapResponseLayer};
use tower_longpoll::{LongPollLayer, PathRoute, PublishService, Reply};

use crate::{
    App, assets,
    events::{Attend, Events},
    game::Kind,
    problem::Problem,
    room::{Table, Ticket},
    rules::Color,
};

/// The largest body that is read.
const MAX_BODY: usize = 4 * 1024;
/// The longest line of a chat, in characters.
const MAX_LINE: usize = 500;

/// All of the site.
pub(crate) fn router(app: App) -> Router {
    let events = Arc::new(Events::new(app.clone()));
    let route = {
        let events = Arc::clone(&events);
        move |parts: &Parts| events.route(parts)
    };
    let polls = LongPollLayer::new(app.room.hub().clone(), route).reply(Reply::Json);
    let publish = {
        let route = PathRoute::new("/events/{channel}").expect("a pattern");
        let service = PublishService::new(app.room.hub().clone(), route);
        let events = Arc::clone(&events);
        move |Path(channel): Path<String>, request: Request| {
            publish(Arc::clone(&events), service.clone(), channel, request)
        }
    };
    // From the outside to the inside: every answer has the fields, and who polls is here for as
    // long as the layer holds the poll.
    let around = ServiceBuilder::new()
        .layer(MapResponseLayer::new(secured))
        .layer(Attend::new(events))
        .layer(polls);
    Router::new()
        .route("/", get(async |headers: HeaderMap| found("index.html", &headers)))
        .route("/game/{id}", get(game_page))
        .route("/status", get(async |headers: HeaderMap| found("status.html", &headers)))
        .route("/assets/{name}", get(assets::asset))
        .route("/api/status", get(async |State(app): State<App>| fresh(app.status.recent())))
        .route("/api/games", post(create))
        .route("/api/games/{id}", get(state))
        .route("/api/games/{id}/join", post(join))
        .route("/api/games/{id}/moves", post(play))
        .route("/api/games/{id}/draw", post(draw))
        .route("/api/games/{id}/resign", post(resign))
        .route("/api/games/{id}/chat", post(chat))
        // What is no poll of it. The layer answers those before anything here is asked.
        .route("/events", get(no_channel))
        .route("/events/{channel}", get(no_channel).post(publish))
        .fallback(nothing)
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This path has no such method.")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(around)
        .with_state(app)
}

fn secured<B>(mut response: axum::http::Response<B>) -> axum::http::Response<B> {
    const FIELDS: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, assets::POLICY),
    ];
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn found(page: &str, headers: &HeaderMap) -> Response {
    assets::page(page, StatusCode::OK, headers)
}

fn fresh(value: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

async fn no_channel() -> Problem {
    Problem::not_found("There is no such channel.")
}

/// A page for people, a problem for programs.
async fn nothing(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") || path.starts_with("/events/") {
        return Problem::not_found("There is nothing at this path.").into_response();
    }
    assets::page("not-found.html", StatusCode::NOT_FOUND, request.headers())
}

async fn game_page(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    match app.room.table(&id) {
        Some(_) => found("game.html", &headers),
        None => assets::page("not-found.html", StatusCode::NOT_FOUND, &headers),
    }
}

#[derive(Deserialize)]
struct NewGame {
    minutes: f64,
    increment: u8,
    color: Wish,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    White,
    Black,
    Random,
}

async fn create(State(app): State<App>, Read(game): Read<NewGame>) -> Result<Response, Problem> {
    if !(0.1..=180.0).contains(&game.minutes) {
        return Err(Problem::bad_request("`minutes` is from 0.1 to 180."));
    }
    if game.increment > 60 {
        return Err(Problem::bad_request("`increment` is from 0 to 60 seconds."));
    }
    let color = match game.color {
        Wish::White => Color::White,
        Wish::Black => Color::Black,
        Wish::Random if crate::random::name(1).as_str() < "s" => Color::White,
        Wish::Random => Color::Black,
    };
    let time = Duration::from_millis((game.minutes * 60_000.0).round() as u64);
    let ticket = app.room.create(time, Duration::from_secs(game.increment.into()), color)?;
    Ok((StatusCode::CREATED, handed(ticket)).into_response())
}

async fn join(State(app): State<App>, At(table): At) -> Result<Response, Problem> {
    Ok(handed(app.room.join(&table)?))
}

fn handed(ticket: Ticket) -> Response {
    let Ticket { id, color, token, seat } = ticket;
    fresh(json!({ "id": id, "color": color, "token": token, "seat": seat }))
}

async fn state(State(app): State<App>, At(table): At, Token(token): Token) -> Response {
    fresh(app.room.state(&table, token.as_deref()))
}

#[derive(Deserialize)]
struct Move {
    #[serde(rename = "move")]
    uci: String,
    ply: usize,
}

async fn play(
    State(app): State<App>,
    At(table): At,
    Token(token): Token,
    Read(asked): Read<Move>,
) -> Result<Response, Problem> {
    let cursor = app.room.act(&table, token.as_deref(), |game, color, now| {
        game.play(color, &asked.uci, asked.ply, now)?;
        Ok(Kind::Moved)
    })?;
    Ok(fresh(json!({ "cursor": cursor.to_string() })))
}

#[derive(Deserialize)]
struct Draw {
    action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Offer,
    Accept,
    Decline,
}

async fn draw(
    State(app): State<App>,
    At(table): At,
    Token(token): Token,
    Read(asked): Read<Draw>,
) -> Result<Response, Problem> {
    let cursor = app.room.act(&table, token.as_deref(), |game, color, now| match asked.action {
        Action::Offer => game.offer_draw(color).map(|()| Kind::DrawOffered),
        Action::Accept => game.accept_draw(color, now).map(|()| Kind::Over),
        Action::Decline => game.decline_draw(color).map(|()| Kind::DrawDeclined),
    })?;
    Ok(fresh(json!({ "cursor": cursor.to_string() })))
}

async fn resign(
    State(app): State<App>,
    At(table): At,
    Token(token): Token,
) -> Result<Response, Problem> {
    let cursor = app.room.act(&table, token.as_deref(), |game, color, now| {
        game.resign(color, now).map(|()| Kind::Over)
    })?;
    Ok(fresh(json!({ "cursor": cursor.to_string() })))
}

#[derive(Deserialize)]
struct Said {
    text: String,
}

async fn chat(
    State(app): State<App>,
    At(table): At,
    Token(token): Token,
    Read(said): Read<Said>,
) -> Result<Response, Problem> {
    let text = said.text.trim();
    if !(1..=MAX_LINE).contains(&text.chars().count()) {
        let detail = format!("`text` has from 1 to {MAX_LINE} characters, without spaces around.");
        return Err(Problem::bad_request(detail));
    }
    app.room.say(&table, token.as_deref(), text.into())?;
    Ok(fresh(json!({})))
}

/// What the simulator publishes; nobody else may.
async fn publish(
    events: Arc<Events>,
    mut service: PublishService,
    channel: String,
    request: Request,
) -> Result<Response, Problem> {
    if !events.may_publish(&channel) {
        return Err(Problem::not_found("There is no such channel to publish on."));
    }
    let published = service.call(request).await;
    let published = published.unwrap_or_else(|never| match never {});
    Ok(published.map(Body::new))
}

/// The table that the path names.
struct At(Arc<Table>);

impl FromRequestParts<App> for At {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, app).await.ok();
        let table = id.and_then(|Path(id)| app.room.table(&id));
        table.map(Self).ok_or_else(|| Problem::not_found("There is no such game."))
    }
}

/// The secret of a player, if the request has one.
struct Token(Option<String>);

impl FromRequestParts<App> for Token {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(AUTHORIZATION) else { return Ok(Self(None)) };
        let token = value.to_str().ok().and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match token {
            Some((_, token)) => Ok(Self(Some(token.trim().to_owned()))),
            None => Err(Problem::forbidden("`authorization` is `Bearer` and the seat's token.")),
        }
    }
}

/// A JSON body, whatever its content type says.
struct Read<T>(T);

impl<T: DeserializeOwned> FromRequest<App> for Read<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, app).await;
        let body = body.map_err(|error: BytesRejection| {
            let detail = format!("The body cannot be read; at most {MAX_BODY} bytes are.");
            Problem::new(error.status(), detail)
        })?;
        let read = serde_json::from_slice(&body);
        read.map(Self).map_err(|error| {
            Problem::bad_request(format!(
                "The body is not the JSON that is expected here: {error}."
            ))
        })
    }
}
