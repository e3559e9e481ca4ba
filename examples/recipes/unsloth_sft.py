"""Fine-tuning with Unsloth, on a GPU, on: factory export CORPUS chat --to out/chat. Only the replies are learned."""

from unsloth import FastLanguageModel  # isort: skip  # before the libraries that it makes faster
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

model, tokenizer = FastLanguageModel.from_pretrained(
    "Qwen/Qwen2.5-1.5B-Instruct", max_seq_length=2048, load_in_4bit=True
)
model = FastLanguageModel.get_peft_model(model, r=16, lora_alpha=32)

chats = load_dataset("parquet", data_dir="out/chat", split="train")
texts = chats.map(
    lambda chat: {"text": tokenizer.apply_chat_template(chat["messages"], tokenize=False)},
    remove_columns=chats.column_names,
)
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=texts,
    args=SFTConfig("out/unsloth-sft", dataset_text_field="text", max_length=2048, learning_rate=2e-4),
)
trainer = train_on_responses_only(
    trainer, instruction_part="<|im_start|>user\n", response_part="<|im_start|>assistant\n"
)
trainer.train()
model.save_pretrained("out/unsloth-sft")
