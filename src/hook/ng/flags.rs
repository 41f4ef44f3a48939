//! Flags and their prefix forms (NG reference 7).

use tracing::debug;

use super::options::Settings;
use crate::session::options::{Ice, RtcpAttribute};
use crate::wire::bencode::Value;

impl Settings {
    /// Takes a flag; `name` is the folded spelling of `raw`. Unknown flags are passed over.
    pub(super) fn flag(&mut self, name: &str, raw: &str) {
        let options = &mut self.options;
        match name {
            "trust-address" => options.sip_source_address = false,
            "sip-source-address" => options.sip_source_address = true,
            "asymmetric" => options.asymmetric = true,
            "strict-source" => options.strict_source = Some(true),
            "media-handover" => options.media_handover = true,
            "port-latching" => options.port_latching = Some(true),
            "no-port-latching" => options.port_latching = Some(false),
            "reset" => options.reset = true,
            "loop-protect" => options.loop_protect = true,
            "original-sendrecv" => options.original_sendrecv = true,
            "no-rtcp-attribute" => options.rtcp_attribute = RtcpAttribute::None,
            "full-rtcp-attribute" => options.rtcp_attribute = RtcpAttribute::Full,
            "passthrough" => options.passthrough = true,
            "no-passthrough" => options.passthrough = false,
            "new-branch" => options.new_branch = true,
            "force-relay" => options.ice = Ice::Pass,
            "record-call" => {
                // Agreements decide what is recorded; a proxy that expects more should know.
                self.warning.get_or_insert("record call is not supported");
            }
            "internal" | "external" => self.direction(&Value::from(raw)),
            _ => {
                if !self.prefix_form(name, raw) && !self.transport_name(raw) {
                    debug!(flag = name, "flag without effect");
                }
            }
        }
    }

    /// `replace-origin`, `rtcp-mux-demux` and their like; `false` if it is none of them.
    fn prefix_form(&mut self, name: &str, raw: &str) -> bool {
        let after = |prefix: &str| {
            name.strip_prefix(prefix)
                .and_then(|_| raw.get(prefix.len()..))
        };
        if let Some(what) = after("replace-") {
            self.replace(what.as_bytes());
        } else if let Some(rule) = after("rtcp-mux-") {
            self.rtcp_mux(rule);
        } else if let Some(how) = after("endpoint-learning-") {
            self.learning(how);
        } else if let Some(codec) = after("codec-strip-") {
            self.strip_codec(codec);
        } else if let Some(codec) = after("codec-except-") {
            self.key("codec-except", &Value::from(codec));
        } else if after("codec-transcode-").is_some()
            || after("codec-mask-").is_some()
            || after("transcode-").is_some()
        {
            self.no_transcoding();
        } else {
            return false;
        }
        true
    }

    /// A flag written as a key with a value that switches it off.
    pub(super) fn flag_off(&mut self, name: &str) {
        match name {
            "strict-source" => self.options.strict_source = Some(false),
            "port-latching" => self.options.port_latching = Some(false),
            "passthrough" => self.options.passthrough = false,
            _ => debug!(flag = name, "flag without effect"),
        }
    }
}
