"""Fine-tuning with TRL on: factory export CORPUS chat --to out/chat. Only what the assistant says is learned."""

from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

chats = load_dataset("parquet", data_dir="out/chat", split="train")
trainer = SFTTrainer(
    "Qwen/Qwen2.5-1.5B-Instruct",
    args=SFTConfig("out/trl-sft", assistant_only_loss=True, max_length=2048, learning_rate=2e-4, num_train_epochs=1),
    train_dataset=chats.select_columns(["messages"]),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
trainer.save_model()
