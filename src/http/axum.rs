//! axum's traits, with the feature `axum`.

use std::convert::Infallible;

use axum_core::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::{StatusCode, request::Parts};

use super::{
    hold::Hold,
    poll::Poll,
    reply::{bad_request, finish},
    route::Invalid,
};

/// What a client asks for, by the same rules as the layer's own routes. Refused with [`Invalid`].
impl<S: Sync> FromRequestParts<S> for Poll {
    type Rejection = Invalid;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Invalid> {
        Self::read(parts)
    }
}

/// 400, as `application/problem+json` that names the field.
impl IntoResponse for Invalid {
    fn into_response(self) -> Response {
        finish(bad_request(&self)).map(Body::new)
    }
}

/// Has the response that it is part of held.
impl IntoResponseParts for Hold {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}

/// 204 when the hold has run out.
impl IntoResponse for Hold {
    fn into_response(self) -> Response {
        (StatusCode::NO_CONTENT, self, ()).into_response()
    }
}
