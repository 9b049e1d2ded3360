//! The languages of figures, and their words.

use clap::ValueEnum;

/// The language of the words in a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// English
    #[default]
    #[value(name = "en")]
    English,
    /// Traditional Chinese, as written in Taiwan
    #[value(name = "zh-TW")]
    TraditionalChinese,
}

/// Something that figures say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Architecture,
    HiddenStateNorms,
    OneLayer,
    Module,
    Shape,
    Parameters,
    WhoSeesWhom,
    Sees,
    RowsSeeColumns,
    Width,
    Layers,
    Heads,
    Vocabulary,
    Embeddings,
    Head,
    Pooler,
    FinalNorm,
    Encoder,
    Decoder,
    EncoderAndDecoder,
    TimeLine,
    NormBefore,
    NormAfter,
    Learned,
    Rotary,
    Alibi,
    Relative,
    Sinusoidal,
    NotPublished,
    Strategies,
    Trained,
    Frozen,
    Transfer,
    Pretrained,
    Kept,
    New,
    Dropped,
    ChangeExplained,
    NoChange,
    BeganAtZero,
    OptimiserStep,
    Loss,
    LearningRate,
    Movement,
    Depth,
    TestScore,
    ValidationScore,
    Before,
    After,
    RowsAddUp,
    TrainedLayers,
}

impl Language {
    /// Its tag, as BCP 47 has it.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::TraditionalChinese => "zh-TW",
        }
    }

    /// One of two texts.
    pub(crate) fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::TraditionalChinese => chinese,
        }
    }

    /// What figures say in this language.
    pub(crate) fn word(self, word: Word) -> &'static str {
        let (english, chinese) = words(word);
        self.pick(english, chinese)
    }

    /// The separator of two clauses.
    pub(crate) fn semicolon(self) -> &'static str {
        self.pick("; ", "；")
    }

    /// The separator of two items.
    pub(crate) fn comma(self) -> &'static str {
        self.pick(", ", "、")
    }

    /// A name with what is said of it.
    pub(crate) fn says(self, name: &str, said: &str) -> String {
        format!("{name}{}{said}", self.pick(": ", "："))
    }

    /// The name of a part of a model, as plans have it: `embeddings`, `layer 3`, `decoder layer 3`, `head`.
    pub(crate) fn part(self, part: &str) -> String {
        if self == Self::English {
            return part.to_owned();
        }
        let (stack, rest) = match part.split_once(' ') {
            Some(("encoder", rest)) => (self.word(Word::Encoder), rest),
            Some(("decoder", rest)) => (self.word(Word::Decoder), rest),
            _ => ("", part),
        };
        let own = match rest {
            "embeddings" => self.word(Word::Embeddings).to_owned(),
            "pooler" => self.word(Word::Pooler).to_owned(),
            "head" => self.word(Word::Head).to_owned(),
            "final norm" => self.word(Word::FinalNorm).to_owned(),
            _ => match rest.strip_prefix("layer ") {
                Some(number) => format!("第 {number} 層"),
                None => rest.to_owned(),
            },
        };
        format!("{stack}{own}")
    }
}

/// Every word in English and in Traditional Chinese.
fn words(word: Word) -> (&'static str, &'static str) {
    match word {
        Word::Architecture => ("architecture", "架構"),
        Word::HiddenStateNorms => (
            "Norm of each token's hidden state, from the embeddings (bottom) up",
            "每個詞元的隱藏狀態範數，由嵌入層（最下）往上",
        ),
        Word::OneLayer => ("One layer", "一層的內容"),
        Word::Module => ("module", "模組"),
        Word::Shape => ("weight", "權重形狀"),
        Word::Parameters => ("parameters", "參數"),
        Word::WhoSeesWhom => ("What attends to what", "誰看得到誰"),
        Word::Sees => ("attends", "看得到"),
        Word::RowsSeeColumns => {
            ("row attends to column (measured in layer 0)", "列的詞元看得到欄的詞元（實測第 0 層）")
        }
        Word::Width => ("width", "寬度"),
        Word::Layers => ("layers", "層數"),
        Word::Heads => ("attention heads", "注意力頭"),
        Word::Vocabulary => ("vocabulary", "詞彙表"),
        Word::Embeddings => ("embeddings", "嵌入層"),
        Word::Head => ("head", "任務頭"),
        Word::Pooler => ("pooler", "池化層"),
        Word::FinalNorm => ("final norm", "最終正規化"),
        Word::Encoder => ("encoder", "編碼器"),
        Word::Decoder => ("decoder", "解碼器"),
        Word::EncoderAndDecoder => ("encoder and decoder", "編碼器＋解碼器"),
        Word::TimeLine => ("Families of pretrained language models", "預訓練語言模型的家族"),
        Word::NormBefore => ("norm before", "前置正規化"),
        Word::NormAfter => ("norm after", "後置正規化"),
        Word::Learned => ("learned positions", "學習的位置"),
        Word::Rotary => ("rotary positions", "旋轉位置"),
        Word::Alibi => ("ALiBi", "ALiBi 位置"),
        Word::Relative => ("relative positions", "相對位置"),
        Word::Sinusoidal => ("sinusoidal positions", "正弦位置"),
        Word::NotPublished => ("weights not published", "權重未公開"),
        Word::Strategies => ("what each strategy trains", "各種微調策略訓練哪些部分"),
        Word::Trained => ("trains", "訓練"),
        Word::Frozen => ("frozen", "凍結"),
        Word::Transfer => ("the flow of transfer learning", "遷移學習的流程"),
        Word::Pretrained => ("pretrained model", "預訓練模型"),
        Word::Kept => ("kept", "保留"),
        Word::New => ("new", "新增"),
        Word::Dropped => ("dropped", "捨棄"),
        Word::ChangeExplained => (
            "norm of the change of a part's weights, as a share of their norm before",
            "權重變化量的範數，除以訓練前權重的範數",
        ),
        Word::NoChange => ("no change", "沒有變化"),
        Word::BeganAtZero => ("began at 0", "從 0 開始"),
        Word::OptimiserStep => ("optimiser step", "最佳化步數"),
        Word::Loss => ("Training loss, mean over a tenth of the steps", "訓練損失（取十分之一步數的平均）"),
        Word::LearningRate => ("Learning rate", "學習率"),
        Word::Movement => ("How far each part moved", "各部分移動了多少"),
        Word::Depth => ("Score against trained layers", "分數與訓練層數"),
        Word::TestScore => ("test", "測試"),
        Word::TrainedLayers => (
            "number of trained layers, from the top (0: the head alone)",
            "由上往下訓練的層數（0：只有任務頭）",
        ),
        Word::Before => ("before fine-tuning", "微調之前"),
        Word::After => ("after fine-tuning", "微調之後"),
        Word::RowsAddUp => ("in percent; each row adds up to 100", "百分比；每一列加起來是 100"),
        Word::ValidationScore => ("validation", "驗證"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_in_both_languages() {
        let chinese = |part| Language::TraditionalChinese.part(part);
        assert_eq!(chinese("decoder layer 3"), "解碼器第 3 層");
        assert_eq!(chinese("head"), "任務頭");
        assert_eq!(Language::English.part("decoder layer 3"), "decoder layer 3");
    }
}
