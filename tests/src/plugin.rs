//! A codec of the user's, as plug-in.

use libchan::codec::{Codec, CodecError, CodecId, Placeholder};

/// JSON under a private id, with attachments written in any form.
#[derive(Clone, Copy, Debug)]
pub struct JsonPlugin {
    /// 192 to 255.
    pub id: u8,
    /// How an attachment is written.
    pub placeholder: Placeholder,
}

impl Codec for JsonPlugin {
    fn id(&self) -> CodecId {
        CodecId(self.id)
    }

    fn name(&self) -> &'static str {
        "json-plugin"
    }

    fn placeholder(&self) -> Placeholder {
        self.placeholder
    }

    fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(out, value).map_err(|error| CodecError::new(error.to_string()))
    }

    fn decode(
        &self,
        payload: &[u8],
        read: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError> {
        let mut json = serde_json::Deserializer::from_slice(payload);
        read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut json))?;
        json.end().map_err(|error| CodecError::new(error.to_string()))
    }
}
