//! The part of compiling that is about one kind of frame: places, lengths, parts, and what decoding
//! must look for among headers.

use heptad_core::Kind;

use crate::{
    compile::{Complaints, field},
    model::{
        Endianness, Extent as ExtentSaid, Field as FieldSaid, Format, Frame, Layout,
        Length as LengthSaid, Part as PartSaid, Repeated, Scalar, Source, Test,
    },
    table::{
        Expect, Extent, Field, Fixed, Form, Id, Length, MOST_INITIAL, Masked, Named, Numbered,
        Part, Protobuf, Shape, Slot, Timeout, What, Written,
    },
};

/// What is said of a kind of frame.
pub(crate) struct Builder<'a> {
    /// Of the frame.
    pub(crate) path: &'a str,
    pub(crate) frame: &'a Frame,
    pub(crate) layout: Layout<'a>,
    pub(crate) delimited: bool,
}

/// What headers and fields are looked for.
#[derive(Default)]
struct Wanted {
    named: Vec<Named>,
    numbered: Vec<Numbered>,
}

impl Wanted {
    fn name(&mut self, name: &str, slot: Slot, or: Option<&str>) {
        self.named.push(Named { name: name.as_bytes().into(), slot, fallback: false });
        if let Some(or) = or {
            self.named.push(Named { name: or.as_bytes().into(), slot, fallback: true });
        }
    }

    fn number(&mut self, within: u32, number: u32, slot: Slot) {
        self.numbered.push(Numbered { within, number, slot });
    }
}

impl Builder<'_> {
    pub(crate) fn shape(
        &self,
        kind: Kind,
        version: u8,
        value: u64,
        wrong: &mut Complaints,
    ) -> Option<Shape> {
        let before = wrong.0.len();
        let parts = self.parts(wrong);
        let is_headers = |part: &Part| matches!(part.what, What::Headers(_) | What::Protobuf(_));
        let headers = parts.iter().position(is_headers);
        if parts.iter().filter(|part| is_headers(part)).count() > 1 {
            let message = "a frame has one part with headers";
            wrong.add(format!("{}.parts", self.path), message, "make the others `opaque`");
        }
        let initial = self.initial(wrong);
        let length = self.length(self.layout.length, "length", None, wrong);
        let head = self.length(self.layout.head, "head", Some(initial), wrong);
        if length.is_none() && !self.delimited && !parts.is_empty() {
            let cure = "add `length: {offset: …, width: …}`, or a `delimiter`";
            wrong.add(self.path, "nothing says how long this frame is", cure);
        }
        if self.delimited && (self.layout.length.is_some() || self.layout.checksum.is_some()) {
            let cure = "remove `length` and `checksum`, or the delimiter";
            wrong.add("delimiter", "frames have a delimiter, and a length or checksum too", cure);
        }
        let mut wanted = Wanted::default();
        let asks = matches!(kind, Kind::Request | Kind::Oneway | Kind::Open);
        let tells = matches!(kind, Kind::Reply | Kind::End | Kind::Reset);
        let id = self.id(&mut wanted, wrong);
        let source = |name, said, slot, wanted: &mut Wanted, wrong: &mut Complaints| {
            if asks { self.value(name, said, slot, wanted, wrong) } else { None }
        };
        let service = source("service", self.layout.service, Slot::Service, &mut wanted, wrong);
        let method = source("method", self.layout.method, Slot::Method, &mut wanted, wrong);
        let key = source("key", self.layout.key, Slot::Key, &mut wanted, wrong);
        let status = match self.layout.status.filter(|_| tells) {
            Some(said) => {
                match self.value("status", Some(said), Slot::Status, &mut wanted, wrong) {
                    Some(Fixed::Number { field, .. }) => Some(field),
                    Some(Fixed::Text { .. }) => {
                        let message = "a status is a number";
                        wrong.add(self.of("status"), message, "write `width:` instead of `size:`");
                        None
                    }
                    None => None,
                }
            }
            None => None,
        };
        let oneway = self.layout.oneway.filter(|_| kind == Kind::Request);
        let oneway = oneway.and_then(|t| self.test("oneway", t, Slot::Oneway, &mut wanted, wrong));
        let app_error = self.layout.app_error.filter(|_| tells);
        let app_error =
            app_error.and_then(|t| self.test("app_error", t, Slot::AppError, &mut wanted, wrong));
        let timeout = self.layout.timeout.filter(|_| asks);
        let timeout = timeout.and_then(|said| self.timeout(said, wrong));
        let crc = self.layout.checksum.map(|said| {
            said.when.and_then(|when| {
                let path = format!("{}.when", self.of("checksum"));
                let field = self.initial_field(&path, when, initial, wrong)?;
                Some(Masked { field, mask: when.mask.map_or(u64::MAX, |mask| mask.0) })
            })
        });
        self.lacking(&parts, &wanted, wrong);
        let lengths: Vec<Field> =
            [&length, &head].into_iter().flatten().flat_map(|length| length.fields()).collect();
        for field in &lengths {
            if field.end() > initial && !self.delimited {
                let message = "a length field ends behind the initial bytes";
                wrong.add(
                    self.path,
                    message,
                    format!("`initial_bytes` must be at least {}", field.end()),
                );
            }
        }
        if let Some(Id::Fixed(field)) = &id
            && field.end() > initial
        {
            let cure = format!("`initial_bytes` must be at least {}", field.end());
            wrong.add(self.of("id"), "the id ends behind the initial bytes", cure);
        }
        let (grow, total, rest) = self.lengths(&length, &head, &parts, headers, wrong);
        (wrong.0.len() == before).then_some(Shape {
            kind,
            version,
            sides: [true; 2],
            value,
            initial,
            length,
            head,
            body: self.frame.body.unwrap_or(true),
            crc,
            id,
            parts: parts.into(),
            named: wanted.named.into(),
            numbered: wanted.numbered.into(),
            unknown: [self.layout.service, self.layout.method, self.layout.key]
                .map(|source| source.is_some_and(|source| source.otherwise_unknown)),
            after: [self.layout.service, self.layout.method, self.layout.key]
                .map(|source| source.and_then(|source| u8::try_from(source.after?).ok())),
            service,
            method,
            key,
            status,
            timeout,
            oneway,
            app_error,
            headers,
            grow: grow.into(),
            total,
            rest,
        })
    }

    /// Where a layout key stands that counts for this frame: here, if it is said here.
    fn of(&self, key: &str) -> String {
        let own = self.frame.layout();
        let here = match key {
            "length" => own.length.is_some(),
            "head" => own.head.is_some(),
            "id" => own.id.is_some(),
            "status" => own.status.is_some(),
            "initial_bytes" => own.initial_bytes.is_some(),
            "checksum" => own.checksum.is_some(),
            "service" => own.service.is_some(),
            "method" => own.method.is_some(),
            "key" => own.key.is_some(),
            "timeout" => own.timeout.is_some(),
            "oneway" => own.oneway.is_some(),
            "app_error" => own.app_error.is_some(),
            _ => false,
        };
        let version = self.path.split_once(".frames.").map(|(version, _)| version);
        match (here, version) {
            (true, _) => format!("{}.{key}", self.path),
            // Maybe at the top; a path ends where there is nothing more.
            (false, Some(version)) => format!("{version}.{key}"),
            (false, None) => key.to_owned(),
        }
    }

    fn initial(&self, wrong: &mut Complaints) -> usize {
        let ends = |length: &LengthSaid| {
            let own = length.offset.zip(length.width).map(|(at, width)| at + usize::from(width));
            let fields = length.fields.iter().map(|f| f.offset + usize::from(f.width));
            own.into_iter().chain(fields).max()
        };
        let initial = match self.layout.initial_bytes {
            Some(bytes) => bytes,
            None => self.layout.length.and_then(ends).unwrap_or_default(),
        };
        if initial > MOST_INITIAL {
            let message = format!("{initial} initial bytes");
            let cure = format!("a frame has at most {MOST_INITIAL}; describe the rest as parts");
            wrong.add(self.of("initial_bytes"), message, cure);
        }
        if initial == 0 && !self.delimited {
            let cure = "add `initial_bytes:` with the number of bytes up to the first part";
            wrong.add(self.path, "it is not said how many initial bytes there are", cure);
        }
        initial
    }

    /// A length; `base` is where counting begins if the fields' end is not.
    fn length(
        &self,
        said: Option<&LengthSaid>,
        key: &str,
        base: Option<usize>,
        wrong: &mut Complaints,
    ) -> Option<Length> {
        let said = said?;
        let path = self.of(key);
        let own = match (said.offset, said.width) {
            (Some(offset), Some(width)) => {
                Some(FieldSaid { offset, width, endianness: said.endianness, mask: None })
            }
            (None, None) => None,
            (Some(_), None) => {
                wrong.add(path, "the width of the length field is missing", "add `width: 4`");
                return None;
            }
            (None, Some(_)) => {
                wrong.add(path, "the offset of the length field is missing", "add `offset: 0`");
                return None;
            }
        };
        if own.is_some() != said.fields.is_empty() {
            let cure = "give `offset` and `width` of one field, or a list of `fields`";
            wrong.add(path, "a length is one field or the sum of several", cure);
            return None;
        }
        let mut fields = Vec::new();
        for (i, one) in own.iter().chain(&said.fields).enumerate() {
            let path = if own.is_some() { path.clone() } else { format!("{path}.fields.{i}") };
            fields.push(field(&path, *one, wrong)?);
        }
        let end = fields.iter().map(|field| field.end()).max().unwrap_or_default();
        let base = i64::try_from(base.unwrap_or(end)).unwrap_or(i64::MAX);
        let mut fields = fields.into_iter();
        Some(Length {
            first: fields.next()?,
            more: fields.collect(),
            base: base.saturating_add(said.adjustment),
        })
    }

    fn initial_field(
        &self,
        path: &str,
        said: FieldSaid,
        initial: usize,
        wrong: &mut Complaints,
    ) -> Option<Field> {
        let field = field(path, said, wrong)?;
        if field.end() > initial {
            let cure = format!("`initial_bytes` must be at least {}", field.end());
            wrong.add(path, "this field ends behind the initial bytes", cure);
        }
        Some(field)
    }

    fn id(&self, wanted: &mut Wanted, wrong: &mut Complaints) -> Option<Id> {
        let said = self.layout.id?;
        if let Some(name) = &said.header {
            wanted.name(name, Slot::Id, None);
            return Some(Id::Named(name.as_str().into()));
        }
        if let Some(number) = said.field {
            wanted.number(0, number, Slot::Id);
            return Some(Id::Numbered(number));
        }
        match self.value("id", Some(said), Slot::Id, wanted, wrong)? {
            Fixed::Number { field, .. } => Some(Id::Fixed(field)),
            Fixed::Text { .. } => {
                wrong.add(self.of("id"), "an id is a number", "write `width:` instead of `size:`");
                None
            }
        }
    }

    fn value(
        &self,
        key: &str,
        said: Option<&Source>,
        slot: Slot,
        wanted: &mut Wanted,
        wrong: &mut Complaints,
    ) -> Option<Fixed> {
        let said = said?;
        let path = self.of(key);
        match (said.offset, said.width, said.size, &said.header, said.field) {
            (Some(offset), Some(width), None, None, None) => {
                let said_field =
                    FieldSaid { offset, width, endianness: said.endianness, mask: None };
                let field = self.initial_field(
                    &path,
                    said_field,
                    self.initial(&mut Complaints::default()),
                    wrong,
                )?;
                let names = said.names.iter().map(|(name, n)| (n.0, name.as_str().into()));
                Some(Fixed::Number { field, names: names.collect() })
            }
            (Some(at), None, Some(size), None, None) => {
                if at.saturating_add(size) > self.initial(&mut Complaints::default()) {
                    let message = "this text ends behind the initial bytes";
                    wrong.add(
                        path,
                        message,
                        "make `initial_bytes` larger, or describe it as a part",
                    );
                    return None;
                }
                Some(Fixed::Text { at, size })
            }
            (None, None, None, Some(name), None) => {
                wanted.name(name, slot, said.or_header.as_deref());
                None
            }
            (None, None, None, None, Some(number)) => {
                wanted.number(said.within.unwrap_or(0), number, slot);
                None
            }
            _ => {
                let message = format!("where the {key} stands must be said in one way");
                let cure = "write `offset` and `width` (a number), `offset` and `size` (a text), \
                    `header` (a name) or `field` (a protobuf number)";
                wrong.add(path, message, cure);
                None
            }
        }
    }

    fn timeout(&self, said: &Source, wrong: &mut Complaints) -> Option<Timeout> {
        let mut wanted = Wanted::default();
        match self.value("timeout", Some(said), Slot::Key, &mut wanted, wrong) {
            Some(Fixed::Number { field, .. }) => Some(Timeout::Fixed(field)),
            Some(Fixed::Text { .. }) => None,
            None => match (&said.header, said.field) {
                (Some(name), _) => Some(Timeout::Named(name.as_str().into())),
                (None, Some(number)) => Some(Timeout::Numbered(number)),
                _ => None,
            },
        }
    }

    fn test(
        &self,
        key: &str,
        said: &Test,
        slot: Slot,
        wanted: &mut Wanted,
        wrong: &mut Complaints,
    ) -> Option<Expect> {
        match (&said.header, said.field) {
            (Some(name), None) => wanted.name(name, slot, None),
            (None, Some(number)) => wanted.number(0, number, slot),
            _ => {
                let cure = "write `header` (a name) or `field` (a protobuf number)";
                wrong.add(self.of(key), "it is not said what must hold", cure);
                return None;
            }
        }
        match (&said.is, said.is_not) {
            (Some(Scalar::Number(number)), None) => Some(Expect::Number(number.0)),
            (Some(Scalar::Text(text)), None) => Some(Expect::Text(text.as_bytes().into())),
            (None, Some(number)) => Some(Expect::Other(number.0)),
            _ => {
                let cure = "write `is:` with a text or number, or `is_not:` with a number";
                wrong.add(self.of(key), "it is not said what it must be", cure);
                None
            }
        }
    }

    /// What is looked for among headers must have headers to be looked for in.
    fn lacking(&self, parts: &[Part], wanted: &Wanted, wrong: &mut Complaints) {
        let named = parts.iter().any(|part| matches!(part.what, What::Headers(_)));
        let numbered = parts.iter().any(|part| matches!(part.what, What::Protobuf(_)));
        // What is said further up holds for frames that have such a part.
        let own = |slot: &Slot| match slot {
            Slot::Id => true,
            Slot::Service => self.frame.service.is_some(),
            Slot::Method => self.frame.method.is_some(),
            Slot::Key => self.frame.key.is_some(),
            Slot::Status => self.frame.status.is_some(),
            Slot::Oneway => self.frame.oneway.is_some(),
            Slot::AppError => self.frame.app_error.is_some(),
        };
        let by_name = !named && wanted.named.iter().any(|named| own(&named.slot));
        let by_number = !numbered && wanted.numbered.iter().any(|wanted| own(&wanted.slot));
        if by_name {
            let message = "a header is named, and there is no part with headers";
            wrong.add(self.path, message, "add `headers: {format: …}` to `parts`");
        }
        if by_number {
            let message = "a protobuf field is named, and there is no protobuf part";
            wrong.add(self.path, message, "add `protobuf: {…}` to `parts`");
        }
    }

    fn parts(&self, wrong: &mut Complaints) -> Vec<Part> {
        let mut parts = Vec::new();
        for (i, said) in self.frame.parts.iter().enumerate() {
            let path = format!("{}.parts.{i}", self.path);
            if let Some(part) = self.part(&path, said, wrong) {
                let last = i + 1 == self.frame.parts.len();
                if part.extent == Extent::Rest && !last {
                    let message = "only the last part may go on to the end of the head";
                    wrong.add(path, message, "give its `prefix`, `length` or `size`");
                }
                parts.push(part);
            }
        }
        parts
    }

    fn part(&self, path: &str, said: &PartSaid, wrong: &mut Complaints) -> Option<Part> {
        let (key, what, extent) = match said {
            PartSaid::Service(extent) => ("service", What::Service, extent.clone()),
            PartSaid::Method(extent) => ("method", What::Method, extent.clone()),
            PartSaid::Key(extent) => ("key", What::Key, extent.clone()),
            PartSaid::Opaque(extent) => ("opaque", What::Opaque, extent.clone()),
            PartSaid::Status(said) => {
                let (offset, mask) = (0, None);
                let said =
                    FieldSaid { offset, width: said.width, endianness: said.endianness, mask };
                let field = field(&format!("{path}.status"), said, wrong)?;
                let extent = Extent::Size(usize::from(field.width));
                return Some(Part { what: What::Status(field), extent });
            }
            PartSaid::Headers(said) => {
                let width = |key: &str, width: Option<u8>, wrong: &mut Complaints| {
                    let path = format!("{path}.headers.{key}");
                    let Some(width) = width else {
                        let message =
                            format!("the width of the length in front of a {key} is missing");
                        wrong.add(path, message, format!("add `{key}: 2`"));
                        return None;
                    };
                    let (offset, mask, endianness) = (0, None, said.endianness);
                    let said = FieldSaid { offset, width, endianness, mask };
                    field(&path, said, wrong)
                };
                let written = match said.format {
                    Format::Pairs => {
                        let name = width("name", said.name, wrong);
                        let value = width("value", said.value, wrong);
                        Written::Pairs { name: name?, value: value?, nulls: said.nulls }
                    }
                    Format::Lines => {
                        let or = |text: &Option<String>, default: &str| {
                            text.as_deref().unwrap_or(default).as_bytes().into()
                        };
                        let separator: Box<[u8]> = or(&said.separator, "=");
                        let terminator: Box<[u8]> = or(&said.terminator, "\n");
                        if separator.is_empty() || terminator.is_empty() {
                            let message = "separator and terminator are not empty";
                            wrong.add(format!("{path}.headers"), message, "leave them out");
                            return None;
                        }
                        Written::Lines { separator, terminator }
                    }
                    Format::Json => Written::Json,
                };
                let first = said.repeated == Repeated::First;
                let (prefix, endianness) = (said.prefix, said.endianness);
                let extent =
                    ExtentSaid { prefix, endianness, length: said.length, size: said.size };
                ("headers", What::Headers(Form { written, first }), extent)
            }
            PartSaid::Protobuf(said) => {
                let fields = said.fields.iter().map(|(name, n)| (name.as_str().into(), *n));
                let within = said.within.unwrap_or(0);
                let form = Protobuf { headers: said.headers, within, fields: fields.collect() };
                let (prefix, endianness) = (said.prefix, said.endianness);
                let extent =
                    ExtentSaid { prefix, endianness, length: said.length, size: said.size };
                ("protobuf", What::Protobuf(form), extent)
            }
        };
        let extent = self.extent(&format!("{path}.{key}"), &extent, wrong)?;
        Some(Part { what, extent })
    }

    fn extent(&self, path: &str, said: &ExtentSaid, wrong: &mut Complaints) -> Option<Extent> {
        match (said.prefix, said.length, said.size) {
            (None, None, None) => Some(Extent::Rest),
            (Some(width), None, None) => {
                let little = said.endianness == Endianness::Little;
                if !(1..=8).contains(&width) {
                    let message = format!("a length of {width} bytes");
                    wrong.add(format!("{path}.prefix"), message, "write a width of 1 to 8");
                    return None;
                }
                Some(Extent::Prefix(Field { at: 0, width, little }))
            }
            (None, Some(length), None) => {
                let initial = self.initial(&mut Complaints::default());
                let path = format!("{path}.length");
                self.initial_field(&path, length, initial, wrong).map(Extent::Field)
            }
            (None, None, Some(size)) => Some(Extent::Size(size)),
            _ => {
                let cure = "keep one of `prefix`, `length` and `size`";
                wrong.add(path, "the length of a part is said twice", cure);
                None
            }
        }
    }

    /// What grows with the headers, and what templates fill in.
    #[allow(clippy::type_complexity, reason = "three answers to one question")]
    fn lengths(
        &self,
        length: &Option<Length>,
        head: &Option<Length>,
        parts: &[Part],
        headers: Option<usize>,
        wrong: &mut Complaints,
    ) -> (Vec<Field>, Option<(Field, i64)>, Option<Field>) {
        let mut grow: Vec<Field> = Vec::new();
        let own: Vec<Field> = parts
            .iter()
            .filter_map(|part| match part.extent {
                Extent::Field(field) => Some(field),
                _ => None,
            })
            .collect();
        let headers_own = headers.and_then(|number| match parts.get(number)?.extent {
            Extent::Field(field) => Some(field),
            _ => None,
        });
        let fixed = headers.and_then(|number| match parts.get(number)?.extent {
            Extent::Size(size) => Some(size),
            _ => None,
        });
        if fixed.is_some() {
            let message = "headers of a fixed size cannot be edited";
            wrong.add(format!("{}.parts", self.path), message, "give their `length` or `prefix`");
        }
        let covering = [("length", length), ("head", head)];
        for (key, length) in covering.into_iter().filter_map(|(k, l)| Some((k, l.as_ref()?))) {
            if length.more.is_empty() {
                grow.push(length.first);
            } else if headers.is_some()
                && !headers_own.is_some_and(|field| length.fields().any(|other| other == field))
            {
                let message = "a sum must contain the length of the headers";
                let cure = "give the part with headers a `length` that is one of the `fields`";
                wrong.add(self.of(key), message, cure);
            }
        }
        grow.extend(headers_own);
        grow.sort_by_key(|field| field.at);
        grow.dedup();
        let total = length.as_ref().filter(|length| length.more.is_empty());
        let total = total.map(|length| (length.first, length.base));
        let sum = length.as_ref().filter(|length| !length.more.is_empty());
        let rest: Vec<Field> = sum
            .into_iter()
            .flat_map(|length| length.fields())
            .filter(|field| !own.contains(field))
            .collect();
        if rest.len() > 1 {
            let message = "several fields of this sum are not the length of a part";
            let cure = "one may be left, which counts the body; give the others to parts";
            wrong.add(self.of("length"), message, cure);
        }
        (grow, total, rest.first().copied())
    }
}
