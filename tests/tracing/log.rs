//! A subscriber that remembers everything.
#![allow(unreachable_pub)]

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::{DefaultGuard, set_default},
};

#[derive(Clone, Debug)]
pub struct Told {
    pub name: &'static str,
    pub level: Level,
    pub target: &'static str,
    /// In the order of their names' first mention: `name=value`, with spaces between.
    pub fields: String,
    pub parent: Option<&'static str>,
    /// How often it was entered more than it was left.
    pub entered: usize,
    /// How often it was entered.
    pub entries: usize,
    pub is_closed: bool,
    references: usize,
}

#[derive(Debug)]
pub struct Line {
    pub level: Level,
    pub target: &'static str,
    pub fields: String,
    pub within: Option<&'static str>,
}

#[derive(Default)]
struct Book {
    spans: Vec<Told>,
    lines: Vec<Line>,
    stack: Vec<usize>,
    /// How many spans were taken out: those that come have numbers after these.
    taken: usize,
}

impl Book {
    fn span(&mut self, id: &Id) -> &mut Told {
        let place = id.into_u64() as usize - 1 - self.taken;
        &mut self.spans[place]
    }

    fn current(&self) -> Option<&'static str> {
        self.stack.last().map(|id| self.spans[id - 1 - self.taken].name)
    }
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Book>>);

impl Log {
    pub fn install() -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = set_default(log.clone());
        (log, guard)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    /// What has happened, without taking it out.
    pub fn spans(&self) -> Vec<Told> {
        self.book().spans.clone()
    }

    /// What has happened since it was last asked, all of it being over.
    pub fn take_spans(&self) -> Vec<Told> {
        let mut book = self.book();
        let spans = std::mem::take(&mut book.spans);
        book.taken += spans.len();
        spans
    }

    pub fn take_events(&self) -> Vec<Line> {
        std::mem::take(&mut self.book().lines)
    }
}

struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(&format!("{field}={value:?}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Others may tell of themselves, too.
        metadata.target() == "tower_longpoll" || metadata.name() == "request"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut book = self.book();
        let (metadata, parent) = (span.metadata(), book.current());
        let mut fields = String::new();
        span.record(&mut Writer(&mut fields));
        let (name, level, target) = (metadata.name(), *metadata.level(), metadata.target());
        book.spans.push(Told {
            name,
            level,
            target,
            fields,
            parent,
            entered: 0,
            entries: 0,
            is_closed: false,
            references: 1,
        });
        Id::from_u64((book.taken + book.spans.len()) as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Writer(&mut self.book().span(span).fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = String::new();
        event.record(&mut Writer(&mut fields));
        let mut book = self.book();
        let (metadata, within) = (event.metadata(), book.current());
        let (level, target) = (*metadata.level(), metadata.target());
        book.lines.push(Line { level, target, fields, within });
    }

    fn enter(&self, span: &Id) {
        let mut book = self.book();
        book.span(span).entered += 1;
        book.span(span).entries += 1;
        book.stack.push(span.into_u64() as usize);
    }

    fn exit(&self, span: &Id) {
        let mut book = self.book();
        book.span(span).entered -= 1;
        assert_eq!(book.stack.pop(), Some(span.into_u64() as usize), "in their order");
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.book().span(span).references += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut book = self.book();
        let span = book.span(&span);
        span.references -= 1;
        span.is_closed = span.references == 0;
        span.is_closed
    }
}
