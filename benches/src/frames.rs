//! What a codec does with one frame: finding its end, reading attributes, writing it with another
//! id.

use std::{cell::RefCell, hint::black_box, rc::Rc};

use heptad_core::{Chain, Codec, Ctx, Flavour, Meta, Rewrite, Side, Splice, Step};

use crate::{Case, Speech};

/// A codec between a session and a link, with a request that it has decoded.
struct Frames<C: Codec> {
    codec: C,
    session: C::Conn,
    link: C::Conn,
    ctx: Ctx,
    frame: Vec<u8>,
    meta: Meta,
    tag: C::Tag,
    scratch: Vec<u8>,
    out: Chain,
    id: Option<u64>,
}

impl<C: Codec> Frames<C> {
    fn new(options: &C::Options, speech: Speech) -> Self {
        let codec = C::new(options).unwrap_or_else(|_| panic!("the options are the defaults"));
        let ctx = Ctx::default();
        let mut session = codec.open(Side::Session, Flavour::default());
        let link = codec.open(Side::Link(&C::Upstream::default()), Flavour::default());
        let Ok(Step::Frame(meta, tag)) = codec.decode_request(&mut session, &ctx, &speech.request)
        else {
            panic!("{} has a whole request", C::NAME)
        };
        Self {
            codec,
            session,
            link,
            ctx,
            frame: speech.request,
            meta,
            tag,
            scratch: Vec::new(),
            out: Chain::default(),
            id: (speech.id.1 > 0).then_some(77),
        }
    }

    fn decode(&mut self) {
        let step = self.codec.decode_request(&mut self.session, &self.ctx, black_box(&self.frame));
        assert!(matches!(black_box(step), Ok(Step::Frame(..))));
    }

    fn method(&mut self) {
        let (session, meta, frame) = (&self.session, &self.meta, black_box(&self.frame));
        self.scratch.clear();
        let found = self.codec.method(session, meta, frame, &mut self.scratch);
        assert!(matches!(black_box(found), Ok(Some(_))));
    }

    fn service(&mut self) {
        let (session, meta, frame) = (&self.session, &self.meta, black_box(&self.frame));
        self.scratch.clear();
        let found = self.codec.service(session, meta, frame, &mut self.scratch);
        assert!(matches!(black_box(found), Ok(Some(_))));
    }

    fn key(&mut self) {
        let (session, meta, frame) = (&self.session, &self.meta, black_box(&self.frame));
        self.scratch.clear();
        let found = self.codec.key(session, meta, frame, &mut self.scratch);
        assert!(matches!(black_box(found), Ok(Some(_))));
    }

    fn header(&mut self) {
        let (session, meta, frame) = (&self.session, &self.meta, black_box(&self.frame));
        self.scratch.clear();
        let found = self.codec.header(session, meta, frame, "user", &mut self.scratch);
        assert!(matches!(black_box(found), Ok(Some(_))));
    }

    fn rewrite(&mut self) {
        self.out.clear();
        let mut out = Splice::new(black_box(&self.frame), None, &mut self.out);
        let edit = Rewrite::new(self.id, &[]);
        let (from, to) = (&self.session, &self.link);
        let done = self.codec.rewrite(from, to, &self.meta, self.tag, &edit, &mut out);
        assert!(done.is_ok() && !black_box(&self.out).is_empty());
    }
}

type Step1<C> = (&'static str, fn(&mut Frames<C>));

fn of<C: Codec>(name: &str, options: &C::Options, speech: Speech, more: &[Step1<C>]) -> Vec<Case> {
    let frames = Rc::new(RefCell::new(Frames::<C>::new(options, speech)));
    let steps: [Step1<C>; 3] =
        [("decode", Frames::decode), ("method", Frames::method), ("rewrite", Frames::rewrite)];
    steps
        .iter()
        .chain(more)
        .map(|&(what, step)| {
            let frames = frames.clone();
            Case::new(format!("{what}/{name}"), move || step(&mut frames.borrow_mut()))
        })
        .collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let key: Step1<heptad_redis::Redis> = ("key", Frames::key);
    let mut all = of("redis", &heptad_redis::RedisOptions::default(), crate::redis(), &[key]);
    all.extend(of::<heptad_thrift::Thrift>(
        "thrift",
        &heptad_thrift::ThriftOptions::default(),
        crate::thrift(),
        &[],
    ));
    all.extend(of::<heptad_dubbo::Dubbo>(
        "dubbo",
        &heptad_core::NoOptions::default(),
        crate::dubbo(),
        &[("service", Frames::service), ("attachment", Frames::header)],
    ));
    all
}
