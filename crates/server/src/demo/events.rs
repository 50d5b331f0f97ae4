//! Sample events: the same seed makes the same ones.
//!
//! They look like what a shop's web and mobile clients send: about 1 KB each, timestamps in the
//! three forms that the quickstart understands, a `bad_field` to remove, channels that are null
//! or missing, and about one in fifty that cleaning must reject.

use chrono::{DateTime, Utc};
use millstream_model::Timestamp;
use millstream_runtime::Rng;
use serde_json::{Map, Value, json};

const PAGES: [&str; 8] = [
    "/",
    "/search",
    "/product/wool-blanket",
    "/product/tea-kettle",
    "/product/desk-lamp",
    "/cart",
    "/checkout",
    "/account/orders",
];
const PRODUCTS: [(&str, &str, u64); 6] = [
    ("sku-1042", "Wool blanket", 5_990),
    ("sku-2210", "Tea kettle", 3_450),
    ("sku-3177", "Desk lamp", 4_200),
    ("sku-4008", "Notebook, dotted", 890),
    ("sku-5121", "Oak shelf", 12_900),
    ("sku-6333", "Linen towel", 1_750),
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile",
];
const CITIES: [(&str, &str); 6] = [
    ("Lisbon", "PT"),
    ("Leipzig", "DE"),
    ("Hangzhou", "CN"),
    ("Kyoto", "JP"),
    ("Nairobi", "KE"),
    ("Montréal", "CA"),
];
const CHANNELS: [&str; 4] = ["web", "ios", "android", "newsletter"];

/// How far back in time events may lie, in milliseconds.
const AGE_MILLIS_MAX: u64 = 3 * 3_600_000;

/// Makes sample events.
#[derive(Debug)]
pub(crate) struct Events {
    rng: Rng,
    now: Timestamp,
    run: u64,
    made: u64,
}

impl Events {
    /// Starts with a seed; events lie in the hours before `now`.
    pub(crate) fn new(seed: u64, now: Timestamp) -> Self {
        let mut rng = Rng::from_seed(seed);
        let run = rng.next_u64() ^ now.as_millis().unsigned_abs();
        Self { rng, now, run, made: 0 }
    }

    /// Writes a JSON array of the next `count` events.
    pub(crate) fn batch(&mut self, count: u64) -> Vec<u8> {
        let events: Vec<Value> = (0..count).map(|_| self.event()).collect();
        serde_json::to_vec(&events).expect("a JSON value is always encodable")
    }

    fn event(&mut self) -> Value {
        self.made += 1;
        let user = self.rng.below(5_000);
        let name = self.name();
        let mut event = json!({
            "message_id": format!("{:016x}-{:08x}", self.run, self.made),
            "event": name,
            "user_id": format!("user-{user:05}"),
            "timestamp": self.timestamp(),
            "properties": self.properties(name),
            "context": self.context(user),
            "bad_field": "left over from an old client; cleaning removes it",
        });
        if self.rng.chance(2, 100) {
            self.spoil(event.as_object_mut().expect("built as an object above"));
        }
        event
    }

    fn name(&mut self) -> &'static str {
        match self.rng.below(100) {
            0..55 => "page_view",
            55..75 => "product_view",
            75..88 => "add_to_cart",
            88..93 => "remove_from_cart",
            93..97 => "purchase",
            _ => "sign_in",
        }
    }

    /// Returns a time in one of the three forms that clients send.
    fn timestamp(&mut self) -> Value {
        let age = i64::try_from(self.rng.below(AGE_MILLIS_MAX)).unwrap_or(0);
        let millis = self.now.as_millis() - age;
        let time = DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default();
        match self.rng.below(3) {
            0 => json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            1 => json!(millis),
            _ => json!(time.format("%Y-%m-%d %H:%M:%S").to_string()),
        }
    }

    fn properties(&mut self, name: &str) -> Value {
        let (sku, title, price) = self.pick(&PRODUCTS);
        let page = self.pick(&PAGES);
        let mut properties = json!({
            "page": { "path": page, "title": title, "referrer": "https://www.example.com/" },
            "session": format!("{:016x}", self.rng.next_u64()),
            "scroll_depth": self.rng.below(101),
            "time_on_page_ms": self.rng.below(180_000),
            "experiments": ["checkout-two-steps", "larger-images"],
        });
        let fields = properties.as_object_mut().expect("built as an object above");
        match self.rng.below(10) {
            0 => {}
            1 => {
                fields.insert("channel".to_owned(), Value::Null);
            }
            _ => {
                fields.insert("channel".to_owned(), json!(self.pick(&CHANNELS)));
            }
        }
        if matches!(name, "add_to_cart" | "remove_from_cart" | "purchase" | "product_view") {
            let quantity = 1 + self.rng.below(3);
            let line =
                json!({ "sku": sku, "title": title, "price_cents": price, "quantity": quantity });
            fields.insert("items".to_owned(), json!([line]));
            fields.insert("total_cents".to_owned(), json!(price * quantity));
            fields.insert("currency".to_owned(), json!("EUR"));
        }
        properties
    }

    fn context(&mut self, user: u64) -> Value {
        let (city, country) = self.pick(&CITIES);
        json!({
            "app_version": format!("4.{}.{}", self.rng.below(12), self.rng.below(30)),
            "user_agent": self.pick(&AGENTS),
            "ip": format!("203.0.113.{}", user % 254 + 1),
            "locale": "en-GB",
            "geo": { "city": city, "country": country },
            "screen": { "width": 390 + 10 * (user % 120), "height": 844, "density": 2 },
            "campaign": {
                "source": "newsletter",
                "medium": "email",
                "name": "autumn-2026",
                "content": "Warm things for cold evenings, now with free delivery",
            },
            "library": { "name": "example-analytics", "version": "2.3.1" },
        })
    }

    /// Breaks an event in one of the ways that cleaning rejects.
    fn spoil(&mut self, event: &mut Map<String, Value>) {
        match self.rng.below(4) {
            0 => {
                event.remove("user_id");
            }
            1 => {
                event.insert("user_id".to_owned(), Value::Null);
            }
            2 => {
                event.insert("timestamp".to_owned(), json!("yesterday, around noon"));
            }
            _ => {
                event.remove("event");
            }
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.rng.below(from.len() as u64);
        from[usize::try_from(at).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests;
